"""Runs of work that no request starts: a span, a measurement, a line, and an error report each."""

from __future__ import annotations

from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.status import Status, StatusCode

from otelflask._internal import attribute_names, clock, event_names, guard
from otelflask._internal.compat.otel_api import SeverityNumber
from otelflask._internal.compat.sentry import enter_scopes, leave_scopes
from otelflask._internal.error_capture import capture
from otelflask._internal.exceptions.attributes import exception_type
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.sdk.log_records import Record, emit
from otelflask._internal.version import __version__

#: Seconds. Jobs take from milliseconds to hours.
DURATIONS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0)


class Runs:
    """The runs of a process.

    Args:
        pipeline: Where their telemetry goes.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        meter = pipeline.meter_provider.get_meter("otelflask.jobs", __version__)
        self.tracer = pipeline.tracer_provider.get_tracer("otelflask.jobs", __version__)
        self.logger = pipeline.logger_provider.get_logger("otelflask.jobs", __version__)
        self.active = meter.create_up_down_counter(
            "otelflask.job.active", unit="{job}", description="Jobs and commands that run."
        )
        self.duration = meter.create_histogram(
            "otelflask.job.duration",
            unit="s",
            description="Duration of jobs and commands.",
            explicit_bucket_boundaries_advisory=DURATIONS,
        )


class Run:
    """One run, from its creation to `end`. The thread that creates it runs the work.

    Args:
        runs: Where it is measured.
        system: What runs it: ``command``.
        name: The name of the job. Names must be few.
        kind: The kind of the span.
        parent: The context of the span's parent (default: the current one).
        links: Links of the span.
    """

    def __init__(
        self,
        runs: Runs,
        system: str,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Context | None = None,
        links: tuple[Link, ...] = (),
    ) -> None:
        self._runs = runs
        self._labels: dict[str, Any] = {attribute_names.JOB_SYSTEM: system, attribute_names.JOB_NAME: name}
        self._started = clock.perf_counter_ns()
        self.span = runs.tracer.start_span(name, parent, kind, self._labels, links)
        self._context = trace_api.set_span_in_context(self.span, parent)
        self._token = context_api.attach(self._context)
        self._scopes = enter_scopes(lambda: None)[1]
        runs.active.add(1, self._labels)

    @guard.guarded("ending a job")
    def end(self, error: BaseException | None, outcome: dict[str, Any], is_failure: bool, is_reported: bool) -> None:
        """Record the outcome.

        Args:
            error: What has ended the work; None where it returned.
            outcome: Attributes of the end, such as ``process.exit.code``.
            is_failure: Whether the run has failed.
            is_reported: Whether the exception is reported: one that ends a work by design is not.
        """
        seconds = (clock.perf_counter_ns() - self._started) / 1e9
        if error is not None and is_failure:
            outcome = {**outcome, "error.type": exception_type(error)}
        if error is not None and is_reported:
            capture(error, handled=False, mechanism=self._labels[attribute_names.JOB_SYSTEM])
            self.span.record_exception(error)
        self._say(seconds, outcome, is_failure)
        self.span.set_attributes(outcome)
        if is_failure:
            self.span.set_status(Status(StatusCode.ERROR, None if error is None else guard.safe_text(error)))
        self._runs.active.add(-1, self._labels)
        kind = {name: outcome[name] for name in ("error.type",) if name in outcome}
        self._runs.duration.record(seconds, {**self._labels, **kind}, self._context)
        leave_scopes(self._scopes)
        context_api.detach(self._token)
        self.span.end()

    def _say(self, seconds: float, outcome: dict[str, Any], is_failure: bool) -> None:
        name, system = self._labels[attribute_names.JOB_NAME], self._labels[attribute_names.JOB_SYSTEM]
        text = f"{system} {name} {'failed' if is_failure else 'ended'} after {seconds:.2f} s"
        code = outcome.get("process.exit.code")
        if code:
            text += f" with exit status {code}"
        severity = (SeverityNumber.ERROR, "ERROR") if is_failure else (SeverityNumber.INFO, "INFO")
        attributes = {**self._labels, **outcome, attribute_names.JOB_DURATION: seconds}
        record = Record(
            clock.time_ns(),
            *severity,
            text,
            (attributes,),
            self.span.get_span_context(),
            self._context,
            event_names.JOB,
        )
        emit(self._runs.logger, record)
