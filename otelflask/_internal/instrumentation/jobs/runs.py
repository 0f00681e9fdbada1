"""The runs of a process's jobs: counted, measured, and a record of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

from otelflask._internal import attribute_names, clock, event_names, guard
from otelflask._internal.compat.otel_api import SeverityNumber
from otelflask._internal.error_capture import capture
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.instrumentation.jobs.job import ERRORS, Ended, Job, Result
from otelflask._internal.sdk import durations
from otelflask._internal.sdk.log_records import Record, emit
from otelflask._internal.version import __version__

_INFO, _WARN, _ERROR = (
    (SeverityNumber.INFO, "INFO"),
    (SeverityNumber.WARN, "WARN"),
    (SeverityNumber.ERROR, "ERROR"),
)
#: The text of the record, and its severity.
_WORDS: dict[Result, tuple[str, tuple[SeverityNumber, str]]] = {
    "success": ("ended after {:.2f} s", _INFO),
    "failure": ("failed after {:.2f} s", _ERROR),
    "retry": ("ended after {:.2f} s and is tried again", _WARN),
    "ignored": ("ended after {:.2f} s and is ignored", _INFO),
    "rejected": ("was rejected after {:.2f} s", _WARN),
    "revoked": ("was revoked after {:.2f} s", _WARN),
    "lost": ("was lost after {:.2f} s: its process has ended", _ERROR),
}
#: The same of a job that has not begun.
_WORDS_OF_MISSED: dict[Result, str] = {
    "missed": "was missed and does not run",
    "revoked": "was revoked or has expired, and does not run",
}


class Runs:
    """The runs of a process, or of the processes that run jobs for it.

    Args:
        pipeline: Where their telemetry goes.
        on_run: Called when a job begins in this process, or in one that runs it for this one.
    """

    def __init__(self, pipeline: Pipeline, on_run: Callable[[], object]) -> None:
        self.on_run = on_run
        meter = pipeline.meter_provider.get_meter("otelflask.jobs", __version__)
        self.tracer = pipeline.tracer_provider.get_tracer("otelflask.jobs", __version__)
        self._logger = pipeline.logger_provider.get_logger("otelflask.jobs", __version__)
        self._active = meter.create_up_down_counter(
            "otelflask.job.active", unit="{job}", description="Jobs and commands that run."
        )
        self._duration = meter.create_histogram(
            "otelflask.job.duration",
            unit="s",
            description="Duration of jobs and commands.",
            explicit_bucket_boundaries_advisory=durations.JOB,
        )
        self._waited = meter.create_histogram(
            "otelflask.job.queue.duration",
            unit="s",
            description="Time in which jobs that were due waited for their begin.",
            explicit_bucket_boundaries_advisory=durations.JOB,
        )
        self._missed = meter.create_counter(
            "otelflask.job.missed", unit="{job}", description="Jobs that were not run: too late, expired or revoked."
        )

    def begin(self, job: Job) -> None:
        """Count a run among those that go on, until `leave`."""
        self.on_run()
        self._active.add(1, _labels(job))

    def leave(self, job: Job) -> None:
        """Undo `begin`."""
        self._active.add(-1, _labels(job))

    @guard.guarded("counting a job")
    def count(self, ended: Ended) -> None:
        """Count and measure a run, and write its record."""
        job = ended.job
        labels = _labels(job)
        context = _context(ended)
        self._duration.record(ended.seconds, _labels_of_end(ended), context)
        if job.waited is not None:
            self._waited.record(job.waited, labels, context)
        words, severity = _WORDS[ended.result]
        duration = {attribute_names.JOB_DURATION: ended.seconds}
        self._write(ended, context, words.format(ended.seconds), severity, duration)

    def count_all(self, ended: Iterable[Ended]) -> None:
        """Count some runs."""
        for each in ended:
            self.count(each)

    def count_lost(self, ended: Ended, error: BaseException) -> None:
        """Count a run whose process could not, and report what has ended it."""
        self.count(ended)
        if ended.result in ERRORS:
            token = context_api.attach(_context(ended))
            try:
                capture(error, handled=False, mechanism=ended.job.system)
            finally:
                context_api.detach(token)

    @guard.guarded("counting a job that is not run")
    def count_missed(self, ended: Ended) -> None:
        """Count a job that was not run, and write its record."""
        context = _context(ended)
        self._missed.add(1, _labels_of_end(ended), context)
        self._write(ended, context, _WORDS_OF_MISSED[ended.result], _WARN, {})

    def _write(
        self,
        ended: Ended,
        context: Context,
        words: str,
        severity: tuple[SeverityNumber, str],
        details: dict[str, Any],
    ) -> None:
        job = ended.job
        text = f"{job.system} {job.name} {words}"
        if ended.exit_status is not None:
            details["process.exit.code"] = ended.exit_status
            if ended.exit_status:
                text += f" with exit status {ended.exit_status}"
        elif ended.error_type is not None:
            text += f": {ended.error_type}"
        if job.waited is not None:
            details[attribute_names.JOB_WAITED] = job.waited
        own = _labels_of_end(ended) | job.attributes | details
        emit(self._logger, Record(clock.time_ns(), *severity, text, (own,), ended.span, context, event_names.JOB))


def _labels(job: Job) -> dict[str, Any]:
    return {attribute_names.JOB_SYSTEM: job.system, attribute_names.JOB_NAME: job.name}


def _labels_of_end(ended: Ended) -> dict[str, Any]:
    labels = _labels(ended.job) | {attribute_names.JOB_RESULT: ended.result}
    return labels if ended.error_type is None else labels | {"error.type": ended.error_type}


def _context(ended: Ended) -> Context:
    return set_span_in_context(NonRecordingSpan(ended.span), Context())
