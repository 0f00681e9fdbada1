"""Spans and log records as flat tuples, which may wait without a cost.

Whatever waits for its export outlives the young generations of Python's garbage collector. Objects that
wait are walked by each full collection, and nothing else runs meanwhile. A tuple that holds only
numbers, texts, bytes and such tuples is not tracked (CPython, ``Objects/tupleobject.c``,
``_PyTuple_MaybeUntrack``). It must be a plain tuple: one of a subclass, such as a NamedTuple, is tracked.

An attribute's value is an atom, ``(LIST, item, …)`` or ``(MAP, key, value, …)``. Attributes are a tuple
``(key, value, key, value, …)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from otelflask._internal import guard
from otelflask._internal.attribute_layers import Layer, Layers, merged
from otelflask._internal.compat.otel_logs import ReadableLogRecord
from otelflask._internal.guard import safe_text
from otelflask._internal.limits import BODY_LENGTH, MAX_DEPTH, MAX_ITEMS
from otelflask._internal.sdk.log_records import Record
from otelflask._internal.sdk.spans import Span

#: Numbers, texts, bytes, and flat tuples of these.
Flat = tuple[Any, ...]
#: Encodes the attributes that many items share, once for each of them.
LayerBytes = Callable[[Layer], bytes]

LIST, MAP = 0, 1
#: Where a flat span, and a flat record, has its trace id.
TRACE_ID_OF_SPAN, TRACE_ID_OF_RECORD = 0, 8
_ATOMS = frozenset({str, int, float, bool, bytes, type(None)})
_HAS_IS_REMOTE = 0x100
_IS_REMOTE = 0x200
_MAX_SCOPES = 10_000


def flat_value(value: Any, depth: int = 0) -> Any:
    """An attribute's value, or a body, as OTLP can carry it: bounded in its depth and number of items."""
    if type(value) in _ATOMS:
        return value
    return guard.attempt(_flat_value, value, depth, on_error=lambda error: safe_text(value))


def _flat_value(value: Any, depth: int) -> Any:
    # A subclass, such as an enum or a number of numpy, has methods of the app.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value[:BODY_LENGTH])
    if depth > MAX_DEPTH:
        return "[too deep]"
    if isinstance(value, Mapping):
        found: list[Any] = [MAP]
        for key, item in islice(value.items(), MAX_ITEMS):
            found += (safe_text(key), flat_value(item, depth + 1))
        return tuple(found)
    if isinstance(value, Sequence):
        return (LIST, *(flat_value(item, depth + 1) for item in value[:MAX_ITEMS]))
    return safe_text(value)


def flat_attributes(attributes: Mapping[str, Any] | None) -> Flat:
    """Attributes as ``(key, value, …)``. A value of None is left out."""
    if not attributes:
        return ()
    found: list[Any] = []
    for key, value in attributes.items():
        if type(value) not in _ATOMS:
            value = flat_value(value)
        elif value is None:
            continue
        found += (key, value)
    return tuple(found)


_scopes: dict[int, tuple[InstrumentationScope, Flat]] = {}


def flat_scope(scope: InstrumentationScope | None) -> Flat:
    """Name, version, schema URL and attributes of a scope; the same tuple each time."""
    known = _scopes.get(id(scope))
    if known is not None and known[0] is scope:
        return known[1]
    if scope is None:
        return ("", "", "", ())
    if len(_scopes) >= _MAX_SCOPES:
        _scopes.clear()
    flat = (scope.name, scope.version or "", scope.schema_url or "", flat_attributes(scope.attributes))
    _scopes[id(scope)] = scope, flat
    return flat


def flat_layers(layers: Iterable[dict[str, Any]], layer_bytes: LayerBytes) -> bytes | Flat:
    """Attributes in layers: each `Layer` as bytes, the others as flat attributes; bytes where all of them are."""
    parts: list[Any] = [layer_bytes(layer) if type(layer) is Layer else flat_attributes(layer) for layer in layers]
    if len(parts) == 1 and type(parts[0]) is bytes:
        return parts[0]
    return b"".join(parts) if all(type(part) is bytes for part in parts) else tuple(parts)


def _parts_of_span(span: ReadableSpan, layer_bytes: LayerBytes) -> tuple[bytes | Flat, int]:
    """Attributes, and the number of those that were dropped."""
    if not isinstance(span, Span):
        return (flat_attributes(span.attributes),), span.dropped_attributes
    layers: Layers = span.layers
    own = span.own
    if span.is_over_limit:
        return (flat_attributes(span.attributes),), span.dropped_attributes
    if not own:
        return flat_layers(layers, layer_bytes), span.dropped
    if any(key in layer for key in own for layer in layers):
        # The app has replaced one of our attributes. Keys must be unique, and the app's value counts.
        return (flat_attributes(merged((*layers, own))),), span.dropped
    return flat_layers((*layers, own), layer_bytes), span.dropped


def flags_of(parent: SpanContext | None) -> int:
    """The ``flags`` of a span or link: whether its parent is remote (opentelemetry-proto, ``SpanFlags``)."""
    return _HAS_IS_REMOTE | (_IS_REMOTE if parent is not None and parent.is_remote else 0)


def state_of(context: SpanContext) -> str:
    """The ``tracestate`` of a span; empty for none."""
    return context.trace_state.to_header() if context.trace_state else ""


def flat_events(span: ReadableSpan) -> Flat:
    """Each event as name, time (epoch nanoseconds), attributes, and the number of dropped ones."""
    return tuple(
        (safe_text(event.name), event.timestamp, flat_attributes(event.attributes), event.dropped_attributes)
        for event in span.events
    )


def flat_links(span: ReadableSpan) -> Flat:
    """Each link as trace id, span id, trace state, flags and attributes."""
    return tuple(
        (
            link.context.trace_id,
            link.context.span_id,
            state_of(link.context),
            flags_of(link.context),
            flat_attributes(link.attributes),
        )
        for link in span.links
    )


def flat_span(span: ReadableSpan, layer_bytes: LayerBytes) -> Flat:
    """An ended span. `Encoder.span` reads it.

    Args:
        span: The span.
        layer_bytes: Encodes a `Layer`.
    """
    context, parent, status = span.get_span_context(), span.parent, span.status
    assert context is not None
    parts, dropped = _parts_of_span(span, layer_bytes)
    # Ours makes the containers with the first event and link.
    has_events, has_links = (span.has_events, span.has_links) if isinstance(span, Span) else (True, True)
    return (
        context.trace_id,
        context.span_id,
        state_of(context),
        parent.span_id if parent is not None else 0,
        flags_of(parent),
        safe_text(span.name),
        span.kind.value,
        span.start_time or 0,
        span.end_time or 0,
        parts,
        dropped,
        flat_events(span) if has_events else (),
        span.dropped_events if has_events else 0,
        flat_links(span) if has_links else (),
        span.dropped_links if has_links else 0,
        status.status_code.value,
        status.description or "",
    )


def flat_record(item: ReadableLogRecord, layer_bytes: LayerBytes) -> Flat:
    """A log record. `Encoder.record` reads it.

    Args:
        item: The record.
        layer_bytes: Encodes a `Layer`.
    """
    record = item.log_record
    if isinstance(record, Record):
        parts, dropped = flat_layers(record.layers, layer_bytes), record.dropped
    else:
        parts, dropped = (flat_attributes(record.attributes),), item.dropped_attributes
    severity = record.severity_number
    return (
        record.timestamp or 0,
        record.observed_timestamp or 0,
        severity.value if severity is not None else 0,
        record.severity_text or "",
        flat_value(record.body),
        parts,
        dropped,
        int(record.trace_flags or 0),
        record.trace_id or 0,
        record.span_id or 0,
        record.event_name or "",
    )
