"""Where a run comes from: what asked for it, and when.

Source: semantic conventions, messaging spans: a run has a link to what asked for it, and may have it as its parent.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, NamedTuple

from opentelemetry import propagate
from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, INVALID_SPAN_CONTEXT, Link, SpanContext, SpanKind, set_span_in_context

from otelflask._internal import clock

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
