"""One job that is sent: its span, until the broker has it."""

from __future__ import annotations

from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Tracer, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

from otelflask._internal import attribute_names, guard


class Sending:
    """One job that is sent, from its creation to `end`, in one thread.

    Args:
        tracer: Starts the span.
        system: What runs the job.
        name: The job's name.
        attributes: More attributes.

    Attributes:
        context: The context with the span, for the job's headers.
    """

    def __init__(self, tracer: Tracer, system: str, name: str, attributes: dict[str, Any]) -> None:
        own = {
            attribute_names.JOB_SYSTEM: system,
            attribute_names.JOB_NAME: name,
            "messaging.system": system,
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
        }
        self._span = tracer.start_span(f"send {name}", kind=SpanKind.PRODUCER, attributes=own | attributes)
        self.context: Context = set_span_in_context(self._span)
        self._token: Any = None

    def enter(self) -> None:
        """Make the span the current one, until `end`."""
        self._token = context_api.attach(self.context)

    @guard.guarded("recording a job that was not sent")
    def fail(self, error: BaseException) -> None:
        """Record why the job was not sent."""
        self._span.record_exception(error)
        self._span.set_status(Status(StatusCode.ERROR, guard.safe_text(error)))

    @guard.guarded("ending the span of a job that is sent")
    def end(self) -> None:
        """End the span."""
        if self._token is not None:
            context_api.detach(self._token)
        self._span.end()
