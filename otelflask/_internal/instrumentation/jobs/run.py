"""One run of a job: its span, the context in which it runs, and its error report."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.status import Status, StatusCode

from otelflask._internal import attribute_names, clock, guard
from otelflask._internal.compat.otel_api import SPAN_KEY
from otelflask._internal.compat.sentry import enter_scopes, leave_scopes
from otelflask._internal.error_capture import capture
from otelflask._internal.exceptions.attributes import exception_layer, exception_type
from otelflask._internal.instrumentation.jobs.job import ERRORS, Ended, Job, Outcome
from otelflask._internal.instrumentation.jobs.origin import Origin
from otelflask._internal.instrumentation.jobs.runs import Runs
from otelflask._internal.request_record import COMMAND_KEY

#: What takes the ends of runs where another process counts them: the worker that has forked this one.
taker: ContextVar[Callable[[Ended], object] | None] = ContextVar("otelflask_taker", default=None)


class Run:
    """One run, from its creation to `end`. The thread that creates it runs the job.

    Args:
        runs: The runs of the process.
        job: What is run.
        origin: Where it comes from (default: the current context).
    """

    def __init__(self, runs: Runs, job: Job, origin: Origin | None = None) -> None:
        self.job = job
        origin = origin or Origin(context_api.get_current())
        self._started = clock.perf_counter_ns()
        self._span = span = _start(runs, job, origin)
        keys: dict[str, Any] = {SPAN_KEY: span} | ({COMMAND_KEY: span} if job.system == "command" else {})
        self._context = Context(origin.context | keys)
        self._token = context_api.attach(self._context)
        self._scopes = enter_scopes(lambda: None)[1]
        self._outcome = Outcome()
        self._runs = runs
        self._taker = taker.get()
        if self._taker is None:
            runs.begin(job)
        else:
            runs.on_run()

    @guard.guarded("recording the error of a job")
    def note(self, outcome: Outcome) -> None:
        """Record what the job's end will be, while the frames of an exception have their variables."""
        self._outcome = outcome
        error = outcome.error
        if error is None or outcome.result == "success":
            return
        if outcome.is_reported:
            capture(error, handled=False, mechanism=self.job.system)
        if outcome.is_reported or outcome.result == "retry":
            self._span.add_event("exception", exception_layer(error, self._context))

    @guard.guarded("ending a job")
    def end(self) -> None:
        """Record the outcome, and leave the run's context."""
        try:
            ended = self._ended()
            if self._taker is not None:
                self._taker(ended)
            else:
                self._runs.leave(self.job)
                self._runs.count(ended)
        finally:
            leave_scopes(self._scopes)
            context_api.detach(self._token)
            self._span.end()

    def _ended(self) -> Ended:
        seconds = (clock.perf_counter_ns() - self._started) / 1e9
        result, error, _, exit_status = self._outcome
        kind = exception_type(error) if error is not None and result != "success" else None
        self._span.set_attribute(attribute_names.JOB_RESULT, result)
        if kind is not None:
            self._span.set_attribute("error.type", kind)
        if exit_status is not None:
            self._span.set_attribute("process.exit.code", exit_status)
        if result in ERRORS:
            self._span.set_status(Status(StatusCode.ERROR, None if error is None else guard.safe_text(error)))
        span = self._span.get_span_context()
        return Ended(self.job, result, seconds, kind, exit_status, span)


def _start(runs: Runs, job: Job, origin: Origin) -> Span:
    own: dict[str, Any] = {attribute_names.JOB_SYSTEM: job.system, attribute_names.JOB_NAME: job.name}
    name = job.name
    if origin.kind is SpanKind.CONSUMER:
        own |= {"messaging.operation.name": "process", "messaging.operation.type": "process"}
        name = f"process {name}"
    span: Span = runs.tracer.start_span(
        name, origin.context, kind=origin.kind, attributes=own | job.attributes, links=origin.links
    )
    return span
