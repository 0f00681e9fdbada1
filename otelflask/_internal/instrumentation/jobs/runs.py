"""Runs of work that no request starts: a span, a measurement, a line, and an error report each."""

from __future__ import annotations

from typing import Any, NamedTuple

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace.status import Status, StatusCode

from otelflask._internal import attribute_names, clock, event_names, guard
from otelflask._internal.compat.otel_api import SPAN_KEY, SeverityNumber
from otelflask._internal.compat.sentry import enter_scopes, leave_scopes
from otelflask._internal.error_capture import capture
from otelflask._internal.exceptions.attributes import exception_layer, exception_type
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.request_record import COMMAND_KEY
from otelflask._internal.sdk.log_records import Record, emit
from otelflask._internal.version import __version__

#: Seconds. Jobs take from milliseconds to hours.
DURATIONS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0)


class Outcome(NamedTuple):
    """The end of a run.

    Attributes:
        exit_status: The exit status of its process.
        error: What has ended the work; None where it returned.
        is_reported: Whether the exception is reported. One that ends a command by design is not.
    """

    exit_status: int = 0
    error: BaseException | None = None
    is_reported: bool = False


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
    """

    def __init__(self, runs: Runs, system: str, name: str) -> None:
        self._runs = runs
        self._labels: dict[str, Any] = {attribute_names.JOB_SYSTEM: system, attribute_names.JOB_NAME: name}
        self._started = clock.perf_counter_ns()
        self._span = span = runs.tracer.start_span(name, attributes=self._labels)
        self._context = Context({**context_api.get_current(), SPAN_KEY: span, COMMAND_KEY: span})
        self._token = context_api.attach(self._context)
        self._scopes = enter_scopes(lambda: None)[1]
        runs.active.add(1, self._labels)

    @guard.guarded("ending a job")
    def end(self, outcome: Outcome) -> None:
        """Record the outcome, and leave the run's context."""
        try:
            self._record(outcome)
        finally:
            self._runs.active.add(-1, self._labels)
            leave_scopes(self._scopes)
            context_api.detach(self._token)
            self._span.end()

    def _record(self, outcome: Outcome) -> None:
        seconds = (clock.perf_counter_ns() - self._started) / 1e9
        error = outcome.error
        kind = {"error.type": exception_type(error)} if error is not None and outcome.exit_status else {}
        self._runs.duration.record(seconds, {**self._labels, **kind}, self._context)
        self._say(seconds, outcome.exit_status, kind)
        self._span.set_attributes({"process.exit.code": outcome.exit_status, **kind})
        if outcome.exit_status:
            self._span.set_status(Status(StatusCode.ERROR, None if error is None else guard.safe_text(error)))
        if error is not None and outcome.is_reported:
            capture(error, handled=False, mechanism=self._labels[attribute_names.JOB_SYSTEM])
            self._span.add_event("exception", exception_layer(error, self._context))

    def _say(self, seconds: float, exit_status: int, kind: dict[str, str]) -> None:
        name, system = self._labels[attribute_names.JOB_NAME], self._labels[attribute_names.JOB_SYSTEM]
        text = f"{system} {name} ended after {seconds:.2f} s"
        severity = (SeverityNumber.INFO, "INFO")
        if exit_status:
            text = f"{system} {name} failed after {seconds:.2f} s with exit status {exit_status}"
            severity = (SeverityNumber.ERROR, "ERROR")
        own = {**self._labels, **kind, "process.exit.code": exit_status, attribute_names.JOB_DURATION: seconds}
        span = self._span.get_span_context()
        emit(self._runs.logger, Record(clock.time_ns(), *severity, text, (own,), span, self._context, event_names.JOB))
