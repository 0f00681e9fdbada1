"""Encode the span and the log record of a request, from what many requests have in common.

A plan has the bytes of one route and outcome on one kind of connection. A block has those of one path and
client. What is left is written for each request: ids, times, sizes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from otelflask._internal import attribute_names, event_names
from otelflask._internal.attribute_layers import Interned
from otelflask._internal.export.otlp_encoder import (
    RECORD_ATTRIBUTE,
    SPAN_ATTRIBUTE,
    SPAN_KINDS,
    Encoder,
    field,
    framed,
    tagged,
    varint,
)
from otelflask._internal.instrumentation.http.attributes import (
    client_attributes,
    connection_layers,
    details_of,
    outcome_layers,
)
from otelflask._internal.instrumentation.http.ended_request import MAX_DESCRIPTION, OF_CLIENT, OF_KIND, EndedRequest
from otelflask._internal.instrumentation.http.metrics import Histograms, HttpMetrics
from otelflask._internal.instrumentation.http.request_log import outcome_text, severity_of
from otelflask._internal.limits import BODY_LENGTH
from otelflask._internal.sdk.flat_items import Flat, flags_of

_times = struct.Struct("<BQBQ").pack
_time = struct.Struct("<BQ").pack
_double = struct.Struct("<Bd").pack
#: The length of a request id that otelflask makes.
_ID_LENGTH = 32
#: The longest path and query, together, whose block is kept, and the most plans and blocks.
_CACHED_LENGTH = 256
_MAX_KEPT = 1_000
#: The longest message of an exception whose bytes are kept, and the most exceptions.
_CACHED_MESSAGE = 256
_MAX_RAISED = 64
_ERROR = StatusCode.ERROR.value
#: Status and flags → the end of a span without a description.
_ENDS = {
    (status.value, flags): (b"\x7a\x00" if status is StatusCode.UNSET else b"\x7a\x02\x18" + varint(status.value))
    + b"\x85\x01"
    + flags.to_bytes(4, "little")
    for status in StatusCode
    for flags in (flags_of(None), flags_of(SpanContext(1, 1, is_remote=True)))
}
#: What a span has that the app has not touched.
_NO_REST: Flat = ("", (), 0, (), 0, (), 0)
_DURATION = "http.server.request.duration"


class Block(NamedTuple):
    """Attributes of requests with one path, query, client and size, for the span and for the log record."""

    of_span: bytes
    of_record: bytes
    path: bytes


class Plan(NamedTuple):
    """What requests of one route and outcome, on one kind of connection, have in common.

    Attributes:
        name: The name of their spans.
        head: The encoded name and kind of their spans.
    """

    name: str
    head: bytes
    of_span: bytes
    of_record: bytes
    severity: bytes
    histograms: Histograms


class Raised(NamedTuple):
    """What an exception adds to the span and to the log record of its request.

    Attributes:
        event: The span's event, without its time.
        status: The span's status.
        of_record: Attributes of the log record.
    """

    event: bytes
    status: bytes
    of_record: bytes


class RequestPlans:
    """Encodes requests, and caches plans and blocks. Not thread-safe.

    Args:
        spans: Encodes spans.
        logs: Encodes log records. It may be the same.
        metrics: The metrics of requests.
    """

    def __init__(self, spans: Encoder, logs: Encoder, metrics: HttpMetrics) -> None:
        self._spans, self._logs = spans, logs
        self._metrics = metrics
        self._forget()

    def _forget(self) -> None:
        self._generation = self._spans.generation
        self._plans: Interned[Plan] = Interned(self._plan, _MAX_KEPT)
        self._blocks: Interned[Block] = Interned(self._block, _MAX_KEPT)
        name, size = attribute_names.REQUEST_ID, _ID_LENGTH + 2
        text = b"\x0a" + varint(_ID_LENGTH)
        self._id_of_span = self._spans.prefix(name, size, SPAN_ATTRIBUTE) + text
        self._id_of_record = self._logs.prefix(name, size, RECORD_ATTRIBUTE) + text
        self._knows_ids = self._spans.is_never_masked(name)
        self._duration = self._logs.prefix(_DURATION, 9, RECORD_ATTRIBUTE)
        self._raised: Interned[Raised] = Interned(self._of_exception, _MAX_RAISED)
        #: The number of statements, and the beginning of their time, as attributes of span and log record.
        self._counts: Interned[tuple[bytes, bytes]] = Interned(self._statements, _MAX_KEPT)

    def of(self, fields: Flat) -> Plan:
        """The plan of a request, given as a flat tuple."""
        if self._generation is not self._spans.generation:
            # What is cached was masked by other rules.
            self._forget()
        return self._plans(*fields[:OF_KIND])

    def _plan(
        self,
        method: str,
        route: str | None,
        status: int,
        error_type: str | None,
        broken: bool,
        scheme: str,
        protocol: str | None,
        host: str,
        user_agent: str,
    ) -> Plan:
        severity, text = severity_of(status, broken)
        outcome = outcome_layers(method, route, status, error_type)
        connection = connection_layers(scheme, host, protocol, user_agent)
        verb = "HTTP" if method == "_OTHER" else method
        name = verb if route is None else f"{verb} {route}"
        return Plan(
            name,
            field(b"\x2a", self._spans.short_text(name)) + SPAN_KINDS[SpanKind.SERVER.value],
            self._spans.layer_of_span(outcome) + self._spans.layer_of_span(connection),
            self._logs.layer_of_record(outcome) + self._logs.layer_of_record(connection),
            b"\x10" + varint(severity.value) + field(b"\x1a", text.encode()),
            self._metrics.histograms(method, route, status, error_type, scheme, protocol),
        )

    def _block(self, original: str, path: str, query: str, client: str, size: int | None, response_size: int) -> Block:
        attributes = client_attributes(path, query, client, original, size, response_size)
        return Block(*self._tagged(attributes), self._logs.masked(path, BODY_LENGTH))

    def _statements(self, count: int) -> tuple[bytes, bytes]:
        name = attribute_names.QUERY_DURATION
        of_span, of_record = self._tagged({attribute_names.QUERY_COUNT: count})
        of_span += self._spans.prefix(name, 9, SPAN_ATTRIBUTE)
        return of_span, of_record + self._logs.prefix(name, 9, RECORD_ATTRIBUTE)

    def _tagged(self, attributes: dict[str, Any]) -> tuple[bytes, bytes]:
        """Attributes for the span and for the log record. Both have one encoder where their limits are the same."""
        pairs = self._spans.pairs(attributes)
        of_logs = pairs if self._logs is self._spans else self._logs.pairs(attributes)
        return tagged(pairs, SPAN_ATTRIBUTE), tagged(of_logs, RECORD_ATTRIBUTE)

    def attributes(self, request: EndedRequest, plan: Plan) -> tuple[bytes, bytes, bytes]:
        """Encoded attributes of span and log record, and the path for the log record's body."""
        # A stranger's long paths and queries are not kept.
        is_short = len(request.path) + len(request.query_string) <= _CACHED_LENGTH
        block_of: Callable[..., Block] = self._blocks if is_short else self._block
        of_span, of_record, path = block_of(*request[OF_KIND:OF_CLIENT])
        if request.statement_count:
            for_span, for_record = self._counts(request.statement_count)
            seconds = _double(0x21, request.statement_time_ns / 1e9)
            of_span += for_span + seconds
            of_record += for_record + seconds
        own = details_of(request)
        identity = request.request_id
        # Bytes, because only ASCII counts there, and a test of text costs ten times as much.
        known = identity.encode()
        if self._knows_ids and len(known) == _ID_LENGTH and known.isalnum():
            of_span += self._id_of_span + known
            of_record += self._id_of_record + known
        elif identity:
            own[attribute_names.REQUEST_ID] = identity
        if own:
            for_span, for_record = self._tagged(own)
            of_span += for_span
            of_record += for_record
        return plan.of_span + of_span, plan.of_record + of_record, path

    def _of_exception(self, kind: str, message: str, stack: str) -> Raised:
        of_event = _of_event(kind, message, stack)
        of_record = tagged(self._logs.pairs({"exception.type": kind, "exception.message": message}), RECORD_ATTRIBUTE)
        return Raised(
            self._spans.event_after_time("exception", of_event),
            self._spans.status(_ERROR, message[:MAX_DESCRIPTION]),
            of_record,
        )

    def _raised_in(self, request: EndedRequest) -> Raised:
        raised_of: Callable[..., Raised] = (
            self._raised if len(request.exception_message) <= _CACHED_MESSAGE else self._of_exception
        )
        return raised_of(request.exception_type, request.exception_message, request.exception_stacktrace)

    def span(self, request: EndedRequest, plan: Plan, attributes: bytes, part: Sequence[Any]) -> bytes:
        """The span as a field of ``ScopeSpans``.

        Args:
            request: The request.
            plan: Its plan.
            attributes: Its encoded attributes.
            part: What only the span has (`views.RequestViews`).
        """
        started_at, parent_id, flags, status, name, state, rest = part
        if rest or name or state:
            return self._whole_span(request, attributes, part, name or plan.name)
        trace_id, span_id = request.trace_id.to_bytes(16, "big"), request.span_id.to_bytes(8, "big")
        parent = b"\x22\x08" + parent_id.to_bytes(8, "big") if parent_id else b""
        times = _times(0x39, started_at, 0x41, request.ended_at)
        if request.exception_type:
            raised = self._raised_in(request)
            event = field(b"\x5a", _time(0x09, request.ended_at) + raised.event)
            end = b"%b%b\x85\x01%b" % (event, raised.status, flags.to_bytes(4, "little"))
        else:
            end = _ENDS[status, flags]
        data = b"\x0a\x10%b\x12\x08%b%b%b%b%b%b" % (trace_id, span_id, parent, plan.head, times, attributes, end)
        return framed(data)

    def _whole_span(self, request: EndedRequest, attributes: bytes, part: Sequence[Any], name: str) -> bytes:
        started_at, parent_id, flags, status, _, state, rest = part
        description, own, dropped, events, dropped_events, links, dropped_links = rest or _NO_REST
        kind, message, stack = request.exception_type, request.exception_message, request.exception_stacktrace
        if kind:
            events = (*events, ("exception", request.ended_at, _of_event(kind, message, stack), 0))
            description = description or request.description
        span = (
            request.trace_id,
            request.span_id,
            state,
            parent_id,
            flags,
            name,
            SpanKind.SERVER.value,
            started_at,
            request.ended_at,
            (attributes, own) if own else attributes,
            dropped,
            events,
            dropped_events,
            links,
            dropped_links,
            status,
            description if status == _ERROR else "",
        )
        return self._spans.span(span)

    def record(self, request: EndedRequest, plan: Plan, attributes: bytes, path: bytes) -> bytes:
        """The log record as a field of ``ScopeLogs``."""
        body = b"%s %s%s" % (request.method.encode(), path, outcome_text(request).encode())
        if request.app_error is not None:
            body += b": " + self._logs.masked(request.app_error[1], BODY_LENGTH)
        more = self._raised_in(request).of_record if request.exception_type else b""
        data = b"".join(
            (
                _time(0x09, request.ended_at),
                plan.severity,
                field(b"\x2a", field(b"\x0a", body)),
                attributes,
                self._duration,
                _double(0x21, request.duration),
                more,
                b"\x45" + request.trace_flags.to_bytes(4, "little") if request.trace_flags else b"",
                b"\x4a\x10" + request.trace_id.to_bytes(16, "big") if request.trace_id else b"",
                b"\x52\x08" + request.span_id.to_bytes(8, "big") if request.span_id else b"",
                _time(0x59, request.ended_at),
                _EVENT,
            )
        )
        return framed(data)


def _of_event(kind: str, message: str, stack: str) -> Flat:
    """The attributes of the event of an exception."""
    return ("exception.type", kind, "exception.message", message, "exception.stacktrace", stack)


_EVENT = field(b"\x62", event_names.REQUEST.encode())
