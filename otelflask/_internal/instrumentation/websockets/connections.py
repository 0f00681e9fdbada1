"""Open WebSockets, and the line of each that is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otelflask._internal import attribute_names, clock, event_names, guard
from otelflask._internal.compat.otel_api import SeverityNumber
from otelflask._internal.current_request import current_user_id
from otelflask._internal.exceptions.attributes import exception_type
from otelflask._internal.exceptions.walk import forget
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.request_record import ENVIRON_KEY, SWITCHING_PROTOCOLS, RequestRecord
from otelflask._internal.sdk.log_records import Record, emit
from otelflask._internal.version import __version__

#: Seconds. Most WebSockets live as long as a page is looked at.
DURATIONS = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0)
#: RFC 6455, section 7.4.1, and IANA's registry of close codes.
_MEANINGS = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no code",
    1006: "connection lost",
    1007: "invalid payload",
    1008: "policy violation",
    1009: "message too big",
    1010: "missing extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
}
#: The code of a connection that nobody has closed.
LOST = 1006
#: Flask-SocketIO's key of its app in the environ.
_SOCKETIO_KEY = "flask.app"
#: The longest reason that is kept, in characters. The protocol allows 123 bytes.
_MAX_REASON = 128


class Closed(NamedTuple):
    """How a WebSocket was closed: the code, the text that came with it, and ``client``, ``server`` or ``none``."""

    code: int = LOST
    reason: str = ""
    initiator: str = "none"


class Connections:
    """The WebSockets of a process.

    Args:
        pipeline: Where their telemetry goes.
        messages: Whether each message has a span.
    """

    def __init__(self, pipeline: Pipeline, messages: bool) -> None:
        meter = pipeline.meter_provider.get_meter("otelflask.websockets", __version__)
        self.open = meter.create_up_down_counter(
            "otelflask.websocket.connections", unit="{connection}", description="Open WebSockets."
        )
        self.duration = meter.create_histogram(
            "otelflask.websocket.connection.duration",
            unit="s",
            description="Duration of WebSockets.",
            explicit_bucket_boundaries_advisory=DURATIONS,
        )
        self.logger = pipeline.logger_provider.get_logger("otelflask.websockets", __version__)
        self.tracer = pipeline.tracer_provider.get_tracer("otelflask.websockets", __version__) if messages else None

    @guard.guarded("opening a WebSocket")
    def opened(self, environ: dict[str, Any], how: Callable[[], Closed]) -> Connection | None:
        """Begin a connection, and end its request, which was the handshake.

        Args:
            environ: The request's WSGI environ.
            how: Returns how it was closed.

        Returns:
            The connection; None for a request without a record.
        """
        record = environ.get(ENVIRON_KEY)
        if not isinstance(record, RequestRecord) or record.closed:
            return None
        connection = record.connection = Connection(self, record, how)
        record.status = SWITCHING_PROTOCOLS
        record.user_id = current_user_id()
        record.close(record)
        return connection


class Connection:
    """One WebSocket, from its handshake to the return of the app's function.

    Attributes:
        received, sent: Numbers of messages.
    """

    def __init__(self, connections: Connections, record: RequestRecord, how: Callable[[], Closed]) -> None:
        self._connections = connections
        # Each message of Socket.IO is one of the protocol, and its events have spans of their own.
        self._tracer = connections.tracer if _SOCKETIO_KEY not in record.environ else None
        self._record: RequestRecord | None = record
        self._route = record.route
        self._how = how
        self._context = context_api.get_current()
        self._started = clock.perf_counter_ns()
        self._processing: trace_api.Span | None = None
        self.received = self.sent = 0
        self._labels: dict[str, Any] = {} if record.route is None else {"http.route": record.route}
        connections.open.add(1, self._labels)

    @guard.guarded("recording a message")
    def has_received(self) -> None:
        """Count a message. With spans of messages, what follows until the next one belongs to it."""
        self.received += 1
        if self._tracer is not None and self._record is not None:
            self._processing = self._tracer.start_span(self._name("process"), self._context, SpanKind.CONSUMER)
            context_api.attach(trace_api.set_span_in_context(self._processing, self._context))

    @guard.guarded("recording a message")
    def waits(self) -> None:
        """End the span of the last message, and forget its exceptions."""
        forget(self._context)
        if self._processing is not None:
            self._processing.end()
            self._processing = None
            context_api.attach(self._context)

    @guard.guarded("recording a message")
    def has_sent(self, started_at: int) -> None:
        """Count a message that was sent.

        Args:
            started_at: When it began, in epoch nanoseconds.
        """
        self.sent += 1
        if self._tracer is not None:
            self._tracer.start_span(self._name("send"), kind=SpanKind.PRODUCER, start_time=started_at).end()

    def _name(self, operation: str) -> str:
        return f"{operation} {self._route}" if self._route is not None else operation

    @guard.guarded("ending a WebSocket")
    def ended(self, error: BaseException | None) -> None:
        """Record the end.

        Args:
            error: What ended the app's function; None where it returned.
        """
        record = self._record
        if record is None:
            return
        try:
            self.waits()
            self._connections.open.add(-1, self._labels)
            closed, seconds = self._how(), (clock.perf_counter_ns() - self._started) / 1e9
            code = closed.code if closed.code in _MEANINGS else "_OTHER"
            outcome: dict[str, Any] = {attribute_names.CLOSE_CODE: code}
            if error is not None:
                outcome["error.type"] = exception_type(error)
            self._connections.duration.record(seconds, {**self._labels, **outcome}, self._context)
            self._say(record, closed, seconds, outcome)
        finally:
            # They refer to this connection.
            self._record, self._how, self._context = None, Closed, Context()

    def _say(self, record: RequestRecord, closed: Closed, seconds: float, outcome: dict[str, Any]) -> None:
        own: dict[str, Any] = {
            **self._labels,
            **outcome,
            attribute_names.CLOSE_CODE: closed.code,
            attribute_names.CLOSE_INITIATOR: closed.initiator,
            attribute_names.WEBSOCKET_DURATION: seconds,
            attribute_names.MESSAGES_RECEIVED: self.received,
            attribute_names.MESSAGES_SENT: self.sent,
            attribute_names.REQUEST_ID: record.request_id,
        }
        if closed.reason:
            own[attribute_names.CLOSE_REASON] = closed.reason[:_MAX_REASON]
        if record.user_id is not None:
            own["user.id"] = record.user_id
        by = f", by the {closed.initiator}" if closed.initiator != "none" else ""
        meaning = f" {_MEANINGS[closed.code]}" if closed.code in _MEANINGS else ""
        text = f"WebSocket {record.path} closed after {seconds:.1f} s{by}: {closed.code}{meaning}"
        severity = (SeverityNumber.WARN, "WARN") if "error.type" in outcome else (SeverityNumber.INFO, "INFO")
        emit(
            self._connections.logger,
            Record(clock.time_ns(), *severity, text, (own,), record.span_context, self._context, event_names.WEBSOCKET),
        )
