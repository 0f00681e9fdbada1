"""Where a run comes from: what asked for it, and when.

Source: semantic conventions, messaging spans: a run has a link to what asked for it, and may have it as its parent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple

from opentelemetry import propagate
from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    INVALID_SPAN_CONTEXT,
    Link,
    Span,
    SpanContext,
    SpanKind,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace.status import Status, StatusCode

from otelflask._internal import attribute_names, clock, guard

#: The header with the time at which a job was sent, in epoch nanoseconds.
SENT_AT = "otelflask-sent-at"


class Origin(NamedTuple):
    """Where a run comes from.

    Attributes:
        context: The context in which it runs.
        links: What asked for it.
        kind: The kind of its span.
    """

    context: Context
    links: tuple[Link, ...] = ()
    kind: SpanKind = SpanKind.INTERNAL

    @property
    def asked(self) -> SpanContext:
        """The span of what asked for it."""
        return self.links[0].context if self.links else INVALID_SPAN_CONTEXT


def write(headers: MutableMapping[str, str], context: Context | None = None) -> None:
    """Write into the headers of a job what asks for it, and when.

    Args:
        headers: What the job is sent with.
        context: What asks for it (default: the current context).
    """
    propagate.inject(headers, context=context)
    headers[SENT_AT] = str(clock.time_ns())


def read(headers: Mapping[str, Any], joins: bool) -> Origin:
    """Where a run comes from, by the headers that its job was sent with.

    Args:
        headers: The headers. Values that are no text are not read.
        joins: Whether the run belongs to the trace of what asked for it.
    """
    fields = {name: value for name in _fields() if isinstance(value := headers.get(name), str)}
    context = propagate.extract(fields, context=Context())
    asked = trace_api.get_current_span(context).get_span_context()
    links = (Link(asked),) if asked.is_valid else ()
    return Origin(context if joins else set_span_in_context(INVALID_SPAN, context), links, SpanKind.CONSUMER)


def sent_at(headers: Mapping[str, Any]) -> float | None:
    """The time at which a job was sent, in epoch seconds."""
    found = headers.get(SENT_AT)
    return int(found) / 1e9 if isinstance(found, str) and found.isdigit() else None


def _fields() -> set[str]:
    return propagate.get_global_textmap().fields


@contextlib.contextmanager
def sending(tracer: Tracer, system: str, name: str, attributes: Mapping[str, Any]) -> Iterator[Span]:
    """The span of a job that is sent.

    Args:
        tracer: Starts the span.
        system: What runs the job.
        name: The job's name.
        attributes: More attributes.
    """
    own = sent_attributes(system, name) | dict(attributes)
    with tracer.start_as_current_span(
        f"send {name}",
        kind=SpanKind.PRODUCER,
        attributes=own,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except BaseException as error:
            fail(span, error)
            raise


def sent_attributes(system: str, name: str) -> dict[str, Any]:
    """Attributes of the span of each job that is sent."""
    return {
        attribute_names.JOB_SYSTEM: system,
        attribute_names.JOB_NAME: name,
        "messaging.system": system,
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
    }


def fail(span: Span, error: BaseException) -> None:
    """Record on its span why a job was not sent."""
    span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, guard.safe_text(error)))
