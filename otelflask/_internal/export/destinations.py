"""Where a batch goes: OTLP over HTTP or gRPC, or any exporter of the SDK's.

The stock OTLP exporters resolve the standard ``OTEL_EXPORTER_OTLP_*``
variables (endpoint, headers, TLS, compression, timeout) and hold the
connection. What they make of the answer is decided here, because they take a
redirect or a proxy's HTML page for success, and retry only inside one call.
Source: OTLP specification 1.x, "OTLP/HTTP response", "OTLP/gRPC response".
"""

from __future__ import annotations

import email.utils
import errno
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otelflask._internal.settings.environment import grpc_compression, http_compression

Signal = Literal["traces", "metrics", "logs"]

_HTTP: dict[str, Callable[..., Any]] = {
    "traces": OTLPSpanExporter,
    "metrics": OTLPMetricExporter,
    "logs": OTLPLogExporter,
}
_GRPC: dict[str, Callable[..., Any]] = {
    "traces": GrpcSpanExporter,
    "metrics": GrpcMetricExporter,
    "logs": GrpcLogExporter,
}
_GRPC_METHOD = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_RESPONSES: dict[str, Any] = {
    "traces": ExportTraceServiceResponse,
    "metrics": ExportMetricsServiceResponse,
    "logs": ExportLogsServiceResponse,
}
_RETRYABLE_HTTP = frozenset({429, 502, 503, 504})
_RETRYABLE_GRPC = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS", "RESOURCE_EXHAUSTED"}
)
#: Errors of the system's, and what gRPC says of them.
_UNREACHABLE = frozenset({errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH})
_UNREACHABLE_GRPC = ("Connection refused", "Network is unreachable", "No route to host", "DNS", "errors resolving")
#: Longest wait, in seconds, that a receiver may ask for by Retry-After.
MAX_RETRY_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one attempt.

    `rejected` is the number of items refused for good out of a delivered
    batch. With `retry`, the same batch may be sent again, not before
    `retry_after` seconds where the receiver said so. `unreachable` says that
    no connection was made: refused, no such host, no way there.
    """

    delivered: bool
    retry: bool = False
    retry_after: float | None = None
    rejected: int = 0
    error: str = ""
    unreachable: bool = False


class Destination(Protocol):
    """Sends one encoded batch; never raises."""

    component_type: str
    endpoint: str

    def send(self, payload: Any, timeout: float) -> Answer: ...

    def close(self) -> None: ...

    def reconnect(self) -> None:
        """Drop connections that were made before a fork."""


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header: a number or a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S) if seconds == seconds else None


def _failed(error: BaseException | None) -> Answer:
    """No answer came. In: what the HTTP client raised, which has the system's error somewhere below it."""
    waiting: list[Any] = [error]
    seen: set[int] = set()
    unreachable = False
    while waiting and len(seen) < 20:
        item = waiting.pop()
        if not isinstance(item, BaseException) or id(item) in seen:
            continue
        seen.add(id(item))
        unreachable |= isinstance(item, (ConnectionRefusedError, socket.gaierror))
        unreachable |= isinstance(item, OSError) and item.errno in _UNREACHABLE
        waiting += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
    # An endpoint that is no URL stays none.
    retry = not isinstance(error, ValueError)
    return Answer(False, retry=retry, error=type(error).__name__, unreachable=unreachable)


def server_of(endpoint: str) -> str:
    """Scheme, host and port of an endpoint; what is no URL, such as a gRPC target or a folder, as it is."""
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        return endpoint
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else endpoint


def _rejected(response: Any) -> int:
    partial = response.partial_success
    for name in ("rejected_spans", "rejected_log_records", "rejected_data_points"):
        if hasattr(partial, name):
            return int(getattr(partial, name))
    return 0


class HttpDestination:
    """OTLP/HTTP with protobuf bodies."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self.component_type = (
            "otlp_http_" + {"traces": "span", "logs": "log", "metrics": "metric"}[signal] + "_exporter"
        )
        self.reconnect()

    def reconnect(self) -> None:
        self._client = _HTTP[self._signal](compression=http_compression(self._signal))._client
        self.endpoint: str = self._client._endpoint
        self._timeout: float = self._client._timeout

    def send(self, payload: bytes, timeout: float) -> Answer:
        client = self._client
        try:
            result = client._transport.request(
                "POST",
                client._endpoint,
                headers=client._headers,
                data=client._compress(payload),
                timeout=max(0.05, min(timeout, self._timeout)),
            )
        except Exception as error:
            return _failed(error)
        status = result.status_code
        if status is None:
            return _failed(result.error)
        headers = result.headers()
        if status in _RETRYABLE_HTTP:
            return Answer(False, True, _retry_after(headers.get("retry-after")), error=str(status))
        if not 200 <= status < 300:
            return Answer(False, error=str(status))
        content_type = (headers.get("content-type") or "").partition(";")[0].strip().lower()
        body = result.content()
        if content_type == "application/x-protobuf":
            try:
                response = _RESPONSES[self._signal].FromString(body)
            except Exception:
                return Answer(False, error="invalid_response")
            return Answer(True, rejected=_rejected(response))
        if body and content_type != "application/json":
            # A login page or a proxy's answer: nobody has stored anything.
            return Answer(False, error="not_otlp")
        return Answer(True)

    def close(self) -> None:
        self._client.shutdown()


class GrpcDestination:
    """OTLP/gRPC."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self.component_type = (
            "otlp_grpc_" + {"traces": "span", "logs": "log", "metrics": "metric"}[signal] + "_exporter"
        )
        self._exporter: Any = None
        self.endpoint = ""
        self._call: Any = None

    def _connect(self) -> None:
        # Made in the sending thread on first use: a gRPC channel does not survive a fork.
        self._exporter = _GRPC[self._signal](compression=grpc_compression(self._signal))
        self.endpoint = self._exporter._endpoint
        self._call = self._exporter._channel.unary_unary(
            _GRPC_METHOD[self._signal],
            request_serializer=None,
            response_deserializer=_RESPONSES[self._signal].FromString,
        )

    def reconnect(self) -> None:
        # The parent's channel is left alone: closing it here would end the parent's connection.
        self._exporter = self._call = None

    def send(self, payload: bytes, timeout: float) -> Answer:
        try:
            if self._call is None:
                self._connect()
            response = self._call(
                payload,
                timeout=max(0.05, min(timeout, self._exporter._timeout)),
                metadata=self._exporter._headers,
            )
        except Exception as error:
            code = getattr(getattr(error, "code", lambda: None)(), "name", None) or type(error).__name__
            details = str(getattr(error, "details", lambda: "")())
            unreachable = code == "UNAVAILABLE" and any(text in details for text in _UNREACHABLE_GRPC)
            return Answer(False, code in _RETRYABLE_GRPC, error=code, unreachable=unreachable)
        return Answer(True, rejected=_rejected(response))

    def close(self) -> None:
        if self._exporter is not None:
            self._exporter.shutdown(timeout_millis=0)


class SdkDestination:
    """Any exporter of the SDK's interface: console, Zipkin, the user's own."""

    def __init__(self, exporter: Any, component_type: str) -> None:
        self._exporter = exporter
        self.component_type = component_type
        self.endpoint = type(exporter).__name__

    def reconnect(self) -> None:
        pass

    def send(self, payload: Sequence[Any], timeout: float) -> Answer:
        try:
            result = self._exporter.export(payload)
        except Exception as error:
            return Answer(False, error=type(error).__name__)
        return Answer(getattr(result, "name", "SUCCESS") == "SUCCESS", error=getattr(result, "name", ""))

    def close(self) -> None:
        self._exporter.shutdown()
