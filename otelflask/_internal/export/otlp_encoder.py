"""Encode spans and log records as OTLP bytes, without protobuf objects.

The meaning is that of the SDK's encoder: a test decodes both and compares. Values are masked and
bounded on the way. What repeats (keys, layers, scopes, resources) is encoded once. Field numbers:
opentelemetry-proto 1.x, ``trace.proto``, ``logs.proto``, ``common.proto``. It runs in the export
thread, never in a request.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, StatusCode

from otelflask._internal.attribute_layers import Layer
from otelflask._internal.compat.otel_logs import ReadableLogRecord
from otelflask._internal.guard import safe_text
from otelflask._internal.limits import (
    BODY_LENGTH,
    MAX_ITEMS,
    STACKTRACE_LENGTH,
    Limits,
    bounded,
    clean_text,
    cut_stacktrace,
)
from otelflask._internal.redaction import Scrubber
from otelflask._internal.sdk.log_records import Record
from otelflask._internal.sdk.spans import Span

_fixed64 = struct.Struct("<Q").pack
_double = struct.Struct("<d").pack
_times = struct.Struct("<BQBQ").pack
_VARINTS = tuple(bytes((n,)) for n in range(128))
_SPAN_KINDS = tuple(b"\x30" + _VARINTS[n] for n in range(1, 6))
_HAS_IS_REMOTE = 0x100
_IS_REMOTE = 0x200
#: The longest value, in characters, with cached bytes.
_CACHED_LENGTH = 256


def varint(number: int) -> bytes:
    """A base-128 varint. Negative numbers are 64-bit two's complement."""
    if 0 <= number < 128:
        return _VARINTS[number]
    if number < 0:
        number &= 0xFFFFFFFFFFFFFFFF
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def field(tag: bytes, payload: bytes) -> bytes:
    """A length-delimited field. `tag` is the encoded field number with wire type 2."""
    size = len(payload)
    return tag + (_VARINTS[size] if size < 128 else varint(size)) + payload


class Encoding(Protocol):
    """Encodes items of one signal as one export request."""

    def __call__(self, items: Sequence[Any]) -> bytes: ...


class Encoder:
    """Encodes spans and log records, and caches what repeats. Not thread-safe: one a thread."""

    def __init__(self, scrubber: Scrubber, limits: Limits) -> None:
        self._scrubber = scrubber
        self._limits = limits
        self._keys: dict[str, bytes] = {}
        self._pairs: dict[tuple[str, Any, type], bytes] = {}
        self._scopes: dict[InstrumentationScope | None, bytes] = {}
        self._resources: dict[int, tuple[Resource, bytes]] = {}
        self._generation = scrubber.generation
        #: The cache key for the bytes of layers.
        self._key = object()

    def spans(self, spans: Sequence[ReadableSpan]) -> bytes:
        """The bytes of an ``ExportTraceServiceRequest``."""
        return self._request((span.resource, span.instrumentation_scope, self._span(span)) for span in spans)

    def logs(self, records: Sequence[ReadableLogRecord]) -> bytes:
        """The bytes of an ``ExportLogsServiceRequest``."""
        return self._request(
            (record.resource, record.instrumentation_scope, self._record(record)) for record in records
        )

    def _request(self, items: Iterable[tuple[Resource, InstrumentationScope | None, bytes]]) -> bytes:
        if self._generation is not self._scrubber.generation:
            # The cached bytes were masked by other rules.
            self._generation, self._key = self._scrubber.generation, object()
            self._pairs.clear()
            self._resources.clear()
        # ResourceSpans and ResourceLogs, ScopeSpans and ScopeLogs have the same field numbers.
        grouped: dict[int, tuple[Resource, dict[int, tuple[InstrumentationScope | None, list[bytes]]]]] = {}
        for resource, scope, item in items:
            _, scopes = grouped.setdefault(id(resource), (resource, {}))
            scopes.setdefault(id(scope), (scope, []))[1].append(item)
        parts = []
        for resource, scopes in grouped.values():
            body = [self._resource(resource)]
            for scope, encoded in scopes.values():
                prefix = self._scopes.get(scope)
                if prefix is None:
                    prefix = self._scopes[scope] = self._scope(scope)
                schema_url = scope.schema_url if scope is not None else None
                suffix = field(b"\x1a", self._bytes(schema_url)) if schema_url else b""
                body.append(field(b"\x12", prefix + b"".join(encoded) + suffix))
            if resource.schema_url:
                body.append(field(b"\x1a", self._bytes(resource.schema_url)))
            parts.append(field(b"\x0a", b"".join(body)))
        return b"".join(parts)

    def _span(self, span: ReadableSpan) -> bytes:
        context = span.get_span_context()
        assert context is not None
        parts = [b"\x0a\x10", context.trace_id.to_bytes(16, "big"), b"\x12\x08", context.span_id.to_bytes(8, "big")]
        if context.trace_state:
            parts.append(field(b"\x1a", self._bytes(context.trace_state.to_header())))
        parent = span.parent
        if parent is not None:
            parts += (b"\x22\x08", parent.span_id.to_bytes(8, "big"))
        parts += (
            field(b"\x2a", self._bytes(self._limits.text(safe_text(span.name)))),
            _SPAN_KINDS[span.kind.value],
            _times(0x39, span.start_time or 0, 0x41, span.end_time or 0),
        )
        if isinstance(span, Span):
            own = span.own
            dropped = span.dropped
            if span.is_over_limit:
                dropped = span.dropped_attributes
                parts.append(self._attributes(span.attributes, b"\x4a"))
            elif own and any(key in layer for key in own for layer in span.layers):
                # The app has replaced one of our attributes. Keys must be unique, and the app's value counts.
                parts.append(self._attributes(span.attributes, b"\x4a"))
            else:
                parts += [self._layer(layer, b"\x4a") for layer in span.layers]
                if own:
                    parts.append(self._attributes(own, b"\x4a"))
            has_events, has_links = span.has_events, span.has_links
        else:
            parts.append(self._attributes(span.attributes, b"\x4a"))
            has_events = has_links = True
            dropped = span.dropped_attributes
        if dropped:
            parts += (b"\x50", varint(dropped))
        if has_events:
            parts += [field(b"\x5a", self._event(event)) for event in span.events]
            if span.dropped_events:
                parts += (b"\x60", varint(span.dropped_events))
        if has_links:
            parts += [field(b"\x6a", self._link(link)) for link in span.links]
            if span.dropped_links:
                parts += (b"\x70", varint(span.dropped_links))
        status = span.status
        if status.status_code is not StatusCode.UNSET:
            description = field(b"\x12", self._text(status.description)) if status.description else b""
            parts.append(field(b"\x7a", description + b"\x18" + _VARINTS[status.status_code.value]))
        else:
            parts.append(b"\x7a\x00")
        parts.append(_flags(parent))
        return field(b"\x12", b"".join(parts))

    def _event(self, event: Any) -> bytes:
        dropped = event.dropped_attributes
        return b"".join(
            (
                b"\x09",
                _fixed64(event.timestamp),
                field(b"\x12", self._text(event.name)),
                self._attributes(event.attributes, b"\x1a"),
                b"\x20" + varint(dropped) if dropped else b"",
            )
        )

    def _link(self, link: Any) -> bytes:
        context = link.context
        state = context.trace_state.to_header() if context.trace_state else ""
        return b"".join(
            (
                b"\x0a\x10",
                context.trace_id.to_bytes(16, "big"),
                b"\x12\x08",
                context.span_id.to_bytes(8, "big"),
                field(b"\x1a", self._bytes(state)) if state else b"",
                self._attributes(link.attributes, b"\x22"),
                b"\x35" + _flags(context)[2:],
            )
        )

    def _record(self, item: ReadableLogRecord) -> bytes:
        record = item.log_record
        parts = [b"\x09", _fixed64(record.timestamp or 0)]
        if record.severity_number is not None:
            parts += (b"\x10", varint(record.severity_number.value))
        if record.severity_text:
            parts.append(field(b"\x1a", self._text(record.severity_text)))
        if record.body is not None:
            parts.append(field(b"\x2a", self._value("", record.body, BODY_LENGTH)))
        if isinstance(record, Record):
            parts += [self._layer(layer, b"\x32") for layer in record.layers]
            dropped = record.dropped
        else:
            parts.append(self._attributes(record.attributes, b"\x32"))
            dropped = item.dropped_attributes
        if dropped:
            parts += (b"\x38", varint(dropped))
        if record.trace_flags:
            parts += (b"\x45", int(record.trace_flags).to_bytes(4, "little"))
        if record.trace_id:
            parts += (b"\x4a\x10", record.trace_id.to_bytes(16, "big"))
        if record.span_id:
            parts += (b"\x52\x08", record.span_id.to_bytes(8, "big"))
        parts += (b"\x59", _fixed64(record.observed_timestamp or 0))
        if record.event_name:
            parts.append(field(b"\x62", self._bytes(record.event_name)))
        return field(b"\x12", b"".join(parts))

    def _layer(self, layer: dict[str, Any], tag: bytes) -> bytes:
        if type(layer) is not Layer:
            return self._attributes(layer, tag)
        encoded = layer.encoded.get(self._key)
        if encoded is None:
            encoded = layer.encoded[self._key] = self._attributes(layer, tag)
        return encoded

    def _attributes(self, attributes: Mapping[str, Any] | None, tag: bytes) -> bytes:
        if not attributes:
            return b""
        pairs = self._pairs
        parts = []
        for key, value in attributes.items():
            if value is None:
                continue
            kind = type(value)
            cached = pairs.get((key, value, kind)) if kind is str or kind is int or kind is bool else None
            if cached is None:
                cached = self._pair(key, value, kind)
            parts.append(tag + cached)
        return b"".join(parts)

    def _pair(self, key: str, value: Any, kind: type) -> bytes:
        """A KeyValue with its length before it. Small values are cached."""
        prefix = self._keys.get(key)
        if prefix is None:
            prefix = field(b"\x0a", self._bytes(key))
            if len(self._keys) < 10_000:
                self._keys[key] = prefix
        if key == "exception.stacktrace":
            limit = STACKTRACE_LENGTH
            value = cut_stacktrace(safe_text(value))
        else:
            limit = self._limits.value_length
        encoded = field(b"", prefix + field(b"\x12", self._value(key, value, limit)))
        if (kind is str and len(value) <= _CACHED_LENGTH) or kind is int or kind is bool:
            if len(self._pairs) >= 8_192:
                self._pairs.clear()
            self._pairs[(key, value, kind)] = encoded
        return encoded

    def _value(self, key: str, value: Any, limit: int, depth: int = 0) -> bytes:
        """An AnyValue: masked by its key and content, and bounded."""
        if isinstance(value, str):
            # Cut before the patterns run, with a margin: their cost is bounded, and a secret at the cut is whole.
            text = bounded(value, limit)
            return field(b"\x0a", self._bytes(self._limits.text(self._scrubber.value(key, text), limit)))
        if isinstance(value, bool):
            return b"\x10\x01" if value else b"\x10\x00"
        if isinstance(value, int):
            if -(2**63) <= value < 2**63:
                return b"\x18" + varint(value)
            return field(b"\x0a", str(value).encode())
        if isinstance(value, float):
            return b"\x21" + _double(value)
        if value is None:
            return b""
        if depth > 8:
            return field(b"\x0a", b"[too deep]")
        if isinstance(value, (bytes, bytearray)):
            return field(b"\x3a", bytes(value[:limit]))
        if isinstance(value, Mapping):
            pairs = [
                field(
                    b"\x0a",
                    field(b"\x0a", self._text(safe_text(name)))
                    + field(b"\x12", self._value(safe_text(name), item, limit, depth + 1)),
                )
                for name, item in list(value.items())[:MAX_ITEMS]
            ]
            return field(b"\x32", b"".join(pairs))
        if isinstance(value, Sequence):
            items = [field(b"\x0a", self._value(key, item, limit, depth + 1)) for item in value[:MAX_ITEMS]]
            return field(b"\x2a", b"".join(items))
        return field(b"\x0a", self._text(safe_text(value)))

    def _text(self, text: str) -> bytes:
        return self._bytes(self._limits.text(self._scrubber.text(bounded(text, self._limits.value_length))))

    @staticmethod
    def _bytes(text: str) -> bytes:
        try:
            encoded = text.encode("utf-8")
        except UnicodeEncodeError:
            return clean_text(text).encode("utf-8")
        return encoded if b"\x00" not in encoded else clean_text(text).encode("utf-8")

    def _scope(self, scope: InstrumentationScope | None) -> bytes:
        if scope is None:
            return b""
        version = field(b"\x12", self._bytes(scope.version)) if scope.version else b""
        attributes = self._attributes(scope.attributes, b"\x1a")
        return field(b"\x0a", field(b"\x0a", self._bytes(scope.name)) + version + attributes)

    def _resource(self, resource: Resource) -> bytes:
        known = self._resources.get(id(resource))
        if known is None:
            if len(self._resources) > 16:
                self._resources.clear()
            known = (resource, field(b"\x0a", self._attributes(resource.attributes, b"\x0a")))
            self._resources[id(resource)] = known
        return known[1]


def _flags(parent: SpanContext | None) -> bytes:
    flags = _HAS_IS_REMOTE | (_IS_REMOTE if parent is not None and parent.is_remote else 0)
    return b"\x85\x01" + flags.to_bytes(4, "little")
