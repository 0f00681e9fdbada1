"""Encode flat spans and log records as OTLP bytes, without protobuf objects.

The meaning is that of the SDK's encoder: a test decodes both and compares. Values are masked and
bounded on the way. What repeats (keys, layers, scopes, resources) is encoded once. Field numbers:
opentelemetry-proto 1.x, ``trace.proto``, ``logs.proto``, ``common.proto``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource

from otelflask._internal.attribute_layers import Layer
from otelflask._internal.guard import safe_text
from otelflask._internal.limits import BODY_LENGTH, STACKTRACE_LENGTH, Limits, bounded, clean_text, cut_stacktrace
from otelflask._internal.redaction import Scrubber
from otelflask._internal.sdk.flat_items import LIST, MAP, Flat, flat_attributes

_fixed64 = struct.Struct("<Q").pack
_double = struct.Struct("<d").pack
_times = struct.Struct("<BQBQ").pack
_VARINTS = tuple(bytes((n,)) for n in range(128))
#: The kind of a span, by the value of the API's `SpanKind`.
SPAN_KINDS = tuple(b"\x30" + _VARINTS[n] for n in range(1, 6))
#: The tag of an attribute of a span, and of a log record.
SPAN_ATTRIBUTE, RECORD_ATTRIBUTE = b"\x4a", b"\x32"
_UNSET = 0
#: The longest value, in characters, with cached bytes.
_CACHED_LENGTH = 256
_MAX_SHORT_TEXTS = 2_000
_MAX_LEVELS = 100
_MAX_PAIRS = 8_192
#: Long texts of an error, which occurs again and again.
_OF_EXCEPTION = frozenset({"exception.message", "exception.stacktrace"})
_MAX_LONG_PAIRS = 64


def varint(number: int) -> bytes:
    """A base-128 varint. Negative numbers are 64-bit two's complement."""
    if 0 <= number < 128:
        return _VARINTS[number]
    if 0 < number < 16_384:
        return bytes((number & 127 | 128, number >> 7))
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


def framed(message: bytes) -> bytes:
    """A span or a log record as a field of its scope's message."""
    return field(b"\x12", message)


def tagged(pairs: Sequence[bytes], tag: bytes) -> bytes:
    """Encoded attributes, each with the tag of an attribute of a span or log record before it."""
    return tag + tag.join(pairs) if pairs else b""


def _keys_of_layers() -> dict[bytes, object]:
    return {SPAN_ATTRIBUTE: object(), RECORD_ATTRIBUTE: object()}


class Encoder:
    """Encodes spans and log records, and caches what repeats.

    Args:
        scrubber: Masks secrets.
        limits: The limits of an item.
    """

    def __init__(self, scrubber: Scrubber, limits: Limits) -> None:
        self._scrubber = scrubber
        self._limits = limits
        self._keys: dict[str, bytes] = {}
        self._pairs: dict[tuple[str, Any, type], bytes] = {}
        #: The same for long texts that repeat.
        self._long_pairs: dict[tuple[str, Any], bytes] = {}
        self._short_texts: dict[str, bytes] = {}
        self._levels: dict[tuple[int, str], bytes] = {}
        self._generation = scrubber.generation
        #: The cache keys for the bytes of layers, by the tag of an attribute.
        self._keys_of_layers = _keys_of_layers()

    @property
    def generation(self) -> object:
        """Another object when values are masked by other rules. Then encoded values must not be used again."""
        return self._scrubber.generation

    def prefix(self, key: str, value_size: int, tag: bytes) -> bytes:
        """The beginning of an attribute, before its encoded AnyValue.

        Args:
            key: Its name.
            value_size: The bytes of the AnyValue.
            tag: `SPAN_ATTRIBUTE` or `RECORD_ATTRIBUTE`.
        """
        pair = field(b"\x0a", self._bytes(key)) + b"\x12" + varint(value_size)
        return tag + varint(len(pair) + value_size) + pair

    def is_never_masked(self, key: str) -> bool:
        """Whether no rule masks letters and digits alone under this name."""
        return not self._scrubber.patterns and not self._scrubber.is_sensitive(key)

    def _check_generation(self) -> None:
        if self._generation is not self._scrubber.generation:
            # The cached bytes were masked by other rules.
            self._generation, self._keys_of_layers, self._pairs = self._scrubber.generation, _keys_of_layers(), {}
            self._short_texts, self._long_pairs, self._levels = {}, {}, {}

    def span(self, span: Flat) -> bytes:
        """A ``Span`` message of `flat_items.flat_span`, as a field of ``ScopeSpans``."""
        self._check_generation()
        (
            trace_id,
            span_id,
            state,
            parent_id,
            flags,
            name,
            kind,
            start,
            end,
            attributes,
            dropped,
            events,
            dropped_events,
            links,
            dropped_links,
            status,
            description,
        ) = span
        parts = [b"\x0a\x10", trace_id.to_bytes(16, "big"), b"\x12\x08", span_id.to_bytes(8, "big")]
        if state:
            parts.append(field(b"\x1a", self._bytes(state)))
        if parent_id:
            parts += (b"\x22\x08", parent_id.to_bytes(8, "big"))
        parts += (field(b"\x2a", self.short_text(name)), SPAN_KINDS[kind], _times(0x39, start, 0x41, end))
        parts.append(attributes if type(attributes) is bytes else self._parts(attributes, SPAN_ATTRIBUTE))
        if dropped:
            parts += (b"\x50", varint(dropped))
        parts += [field(b"\x5a", self.event(*event)) for event in events]
        if dropped_events:
            parts += (b"\x60", varint(dropped_events))
        parts += [field(b"\x6a", self._link(*link)) for link in links]
        if dropped_links:
            parts += (b"\x70", varint(dropped_links))
        parts.append(b"\x7a\x00" if status == _UNSET else self.status(status, description))
        parts += (b"\x85\x01", flags.to_bytes(4, "little"))
        return framed(b"".join(parts))

    def status(self, status: int, description: str) -> bytes:
        """A span's ``Status``, as a field. `status` is the value of a `StatusCode`."""
        described = field(b"\x12", self.short_text(description)) if description else b""
        return field(b"\x7a", described + b"\x18" + _VARINTS[status])

    def short_text(self, text: str) -> bytes:
        """A masked and bounded text as UTF-8. Most are known: names, levels, paths."""
        self._check_generation()
        known = self._short_texts.get(text)
        if known is None:
            known = self._text(text)
            if len(text) <= _CACHED_LENGTH:
                if len(self._short_texts) >= _MAX_SHORT_TEXTS:
                    self._short_texts.clear()
                self._short_texts[text] = known
        return known

    def event(self, name: str, timestamp: int, attributes: Flat, dropped: int) -> bytes:
        """An ``Event`` message of `flat_items.flat_events`."""
        return b"\x09" + _fixed64(timestamp) + self.event_after_time(name, attributes, dropped)

    def event_after_time(self, name: str, attributes: Flat, dropped: int = 0) -> bytes:
        """An ``Event`` message without the timestamp at its beginning."""
        encoded = field(b"\x12", self.short_text(name)) + self._attributes(attributes, b"\x1a")
        return encoded + b"\x20" + varint(dropped) if dropped else encoded

    def _link(self, trace_id: int, span_id: int, state: str, flags: int, attributes: Flat) -> bytes:
        return b"".join(
            (
                b"\x0a\x10",
                trace_id.to_bytes(16, "big"),
                b"\x12\x08",
                span_id.to_bytes(8, "big"),
                field(b"\x1a", self._bytes(state)) if state else b"",
                self._attributes(attributes, b"\x22"),
                b"\x35",
                flags.to_bytes(4, "little"),
            )
        )

    def record(self, record: Flat, masked_body: bytes = b"") -> bytes:
        """A ``LogRecord`` message of `flat_items.flat_record`, as a field of ``ScopeLogs``.

        Args:
            record: The record.
            masked_body: Its body as UTF-8, where that is masked and bounded already.
        """
        self._check_generation()
        timestamp, observed, severity, text, body, attributes, dropped, flags, trace_id, span_id, event = record
        level = self._levels.get((severity, text))
        if level is None:
            level = self._level(severity, text)
        parts = [_times(0x09, timestamp, 0x59, observed), level]
        if masked_body:
            parts.append(field(b"\x2a", field(b"\x0a", masked_body)))
        elif type(body) is str and len(body) <= _CACHED_LENGTH <= self._limits.value_length:
            parts.append(field(b"\x2a", field(b"\x0a", self.short_text(body))))
        elif body is not None:
            parts.append(field(b"\x2a", self._value("", body, BODY_LENGTH)))
        parts.append(attributes if type(attributes) is bytes else self._parts(attributes, RECORD_ATTRIBUTE))
        if dropped:
            parts += (b"\x38", varint(dropped))
        if flags:
            parts += (b"\x45", flags.to_bytes(4, "little"))
        if trace_id:
            parts += (b"\x4a\x10", trace_id.to_bytes(16, "big"))
        if span_id:
            parts += (b"\x52\x08", span_id.to_bytes(8, "big"))
        if event:
            parts.append(field(b"\x62", self._bytes(event)))
        return framed(b"".join(parts))

    def _level(self, severity: int, text: str) -> bytes:
        """The severity of records: its number and its text, which an app may choose."""
        encoded = b"\x10" + _VARINTS[severity] if severity else b""
        if text:
            encoded += field(b"\x1a", self.short_text(text))
        if len(text) <= _CACHED_LENGTH:
            if len(self._levels) >= _MAX_LEVELS:
                self._levels.clear()
            self._levels[severity, text] = encoded
        return encoded

    def layer_of_span(self, layer: Layer) -> bytes:
        """The bytes of a layer as attributes of a span."""
        return self._layer(layer, SPAN_ATTRIBUTE)

    def layer_of_record(self, layer: Layer) -> bytes:
        """The bytes of a layer as attributes of a log record."""
        return self._layer(layer, RECORD_ATTRIBUTE)

    def _layer(self, layer: Layer, tag: bytes) -> bytes:
        self._check_generation()
        key = self._keys_of_layers[tag]
        encoded = layer.encoded.get(key)
        if encoded is None:
            encoded = layer.encoded[key] = self._attributes(flat_attributes(layer), tag)
        return encoded

    def pairs(self, attributes: Mapping[str, Any]) -> list[bytes]:
        """Attributes without the tag that is before each of them in a span or log record (see `tagged`)."""
        self._check_generation()
        return self._flat_pairs(flat_attributes(attributes))

    def _parts(self, parts: Flat, tag: bytes) -> bytes:
        """Attributes in parts (`flat_items.flat_layers`), some of which are encoded already."""
        return b"".join([part if type(part) is bytes else self._attributes(part, tag) for part in parts])

    def _attributes(self, attributes: Flat, tag: bytes) -> bytes:
        return tagged(self._flat_pairs(attributes), tag) if attributes else b""

    def _flat_pairs(self, attributes: Flat) -> list[bytes]:
        known = self._pairs
        pairs = []
        flat = iter(attributes)
        for key, value in zip(flat, flat, strict=True):
            kind = type(value)
            cached = known.get((key, value, kind)) if kind is str or kind is int or kind is bool else None
            if cached is None and key in _OF_EXCEPTION:
                cached = self._long_pairs.get((key, value))
            pairs.append(self._pair(key, value, kind) if cached is None else cached)
        return pairs

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
        if kind is int or kind is bool or (kind is str and len(value) <= _CACHED_LENGTH):
            if len(self._pairs) >= _MAX_PAIRS:
                self._pairs.clear()
            self._pairs[(key, value, kind)] = encoded
        elif kind is str and key in _OF_EXCEPTION and len(value) <= STACKTRACE_LENGTH:
            if len(self._long_pairs) >= _MAX_LONG_PAIRS:
                self._long_pairs.clear()
            self._long_pairs[key, value] = encoded
        return encoded

    def _value(self, key: str, value: Any, limit: int) -> bytes:
        """An AnyValue of `flat_items.flat_value`: masked by its key and content, and bounded."""
        kind = type(value)
        if kind is str:
            # Cut before the patterns run, with a margin: their cost is bounded, and a secret at the cut is whole.
            text = bounded(value, limit)
            return field(b"\x0a", self._bytes(self._limits.text(self._scrubber.value(key, text), limit)))
        if kind is bool:
            return b"\x10\x01" if value else b"\x10\x00"
        if kind is int:
            if -(2**63) <= value < 2**63:
                return b"\x18" + varint(value)
            return field(b"\x0a", str(value).encode())
        if kind is float:
            return b"\x21" + _double(value)
        if value is None:
            return b""
        if kind is bytes:
            return field(b"\x3a", value[:limit])
        if value[0] == MAP:
            flat = iter(value[1:])
            pairs = [
                field(b"\x0a", field(b"\x0a", self._text(name)) + field(b"\x12", self._value(name, item, limit)))
                for name, item in zip(flat, flat, strict=True)
            ]
            return field(b"\x32", b"".join(pairs))
        assert value[0] == LIST, value
        return field(b"\x2a", b"".join(field(b"\x0a", self._value(key, item, limit)) for item in value[1:]))

    def _text(self, text: str) -> bytes:
        return self.masked(text, self._limits.value_length)

    def masked(self, text: str, limit: int) -> bytes:
        """A text as UTF-8: masked by what it contains, and cut to `limit` characters."""
        return self._bytes(self._limits.text(self._scrubber.text(bounded(text, limit)), limit))

    @staticmethod
    def _bytes(text: str) -> bytes:
        try:
            encoded = text.encode("utf-8")
        except UnicodeEncodeError:
            return clean_text(text).encode("utf-8")
        return encoded if b"\x00" not in encoded else clean_text(text).encode("utf-8")

    def resource(self, resource: Resource) -> bytes:
        """The beginning of ``ResourceSpans`` or ``ResourceLogs``."""
        self._check_generation()
        return field(b"\x0a", self._attributes(flat_attributes(resource.attributes), b"\x0a"))

    def scope(self, scope: Flat) -> tuple[bytes, bytes]:
        """Beginning and end of the ``ScopeSpans`` or ``ScopeLogs`` of `flat_items.flat_scope`."""
        name, version, schema_url, attributes = scope
        if not (name or version or schema_url or attributes):
            return b"", b""
        about = field(b"\x0a", self._bytes(name)) + (field(b"\x12", self._bytes(version)) if version else b"")
        about += self._attributes(attributes, b"\x1a")
        return field(b"\x0a", about), field(b"\x1a", self._bytes(schema_url)) if schema_url else b""
