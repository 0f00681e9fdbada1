"""Where a batch goes: OTLP over HTTP or gRPC, or any exporter with the SDK's interface.

The stock OTLP exporters read the standard ``OTEL_EXPORTER_OTLP_*`` variables (endpoint, headers,
TLS, compression, timeout) and hold the connection. Responses are judged here, because the stock
exporters take a redirect or a proxy's HTML page for success, and retry only within one call.
Source: OTLP specification 1.x, "OTLP/HTTP response", "OTLP/gRPC response".
"""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otelflask._internal import guard
from otelflask._internal.compat.otel_exporters import HttpClient, HttpResult
from otelflask._internal.export import failures
from otelflask._internal.export.environment import grpc_compression, http_compression

if TYPE_CHECKING:
    from otelflask._internal.compat.otel_grpc import GrpcClient

Signal = Literal["traces", "metrics", "logs"]

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
#: The longest wait, in seconds, that a receiver may ask for by Retry-After.
MAX_RETRY_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class SendResult:
    """The result of one attempt.

    Attributes:
        delivered: Whether the receiver accepted the batch.
        retry: Whether the same batch may be sent again.
        retry_after: Seconds to wait before the next attempt, if the receiver gave them; else None.
        rejected: The number of items of a delivered batch that were refused for good.
        error: What went wrong, as ``error.type``.
        unreachable: Whether no connection was made: refused, no such host, no route.
        advice: What is wrong and what to write; empty where that is not known.
    """

    delivered: bool
    retry: bool = False
    retry_after: float | None = None
    rejected: int = 0
    error: str = ""
    unreachable: bool = False
    advice: str = ""

    @property
    def reason(self) -> str:
        """Error and advice, for a log line."""
        return f"{self.error} ({self.advice})" if self.advice else self.error


class Destination(Protocol):
    """Where a queue sends its batches. A batch is what the queue's `encode` made."""

    component_type: str
    endpoint: str

    def send(self, payload: Any, timeout: float) -> SendResult:
        """Send one batch within `timeout` seconds. Never raises."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...

    def reconnect(self) -> None:
        """Drop connections that were made before a fork."""


def _retry_after(value: str | None) -> float | None:
    """The seconds of a Retry-After header: a number or a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S) if not math.isnan(seconds) else None


def server_of(endpoint: str) -> str:
    """Scheme, host and port of an endpoint, without credentials, for log lines.

    What is not a URL, such as a gRPC target or a folder, stays as it is.
    """
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        return endpoint
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else endpoint


def _rejected_count(response: Any) -> int:
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
        self._client = HttpClient(self._signal, http_compression(self._signal))
        self.endpoint = self._client.endpoint

    def send(self, payload: bytes, timeout: float) -> SendResult:
        seconds = max(0.05, min(timeout, self._client.timeout))
        post: Callable[[bytes, float], HttpResult | SendResult] = self._client.post
        result = guard.attempt(post, payload, seconds, on_error=self._failure)
        return result if isinstance(result, SendResult) else self._read(result)

    def _read(self, result: HttpResult) -> SendResult:
        status = result.status_code
        if status is None:
            return self._failure(result.error)
        if status in _RETRYABLE_HTTP:
            return SendResult(False, True, _retry_after(result.headers().get("retry-after")), error=str(status))
        if not 200 <= status < 300:
            advice = failures.of_response(status, result.content()).advice
            return SendResult(False, error=str(status), advice=advice)
        return self._read_success(result)

    def _failure(self, error: BaseException | None) -> SendResult:
        unreachable, advice = failures.of_exception(error, self.endpoint)
        # Do not retry a ValueError: the endpoint is not a valid URL, and does not become one.
        retry = not isinstance(error, ValueError)
        return SendResult(False, retry=retry, error=type(error).__name__, unreachable=unreachable, advice=advice)

    def _read_success(self, result: HttpResult) -> SendResult:
        """Judge a response with a 2xx status. A JSON body is not read: some receivers respond so to protobuf."""
        content_type = (result.headers().get("content-type") or "").partition(";")[0].strip().lower()
        body = result.content()
        if content_type == "application/x-protobuf":
            try:
                response = _RESPONSES[self._signal].FromString(body)
            except DecodeError:
                return SendResult(False, error="invalid_response")
            return SendResult(True, rejected=_rejected_count(response))
        if body and content_type != "application/json":
            # A login page, or a proxy's own response: nobody has stored anything.
            return SendResult(False, error="not_otlp")
        return SendResult(True)

    def close(self) -> None:
        self._client.close()


class GrpcDestination:
    """OTLP/gRPC."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self.component_type = (
            "otlp_grpc_" + {"traces": "span", "logs": "log", "metrics": "metric"}[signal] + "_exporter"
        )
        self._client: GrpcClient | None = None
        self.endpoint = ""

    def _connect(self) -> GrpcClient:
        # Imported where it is used, because of its size.
        from otelflask._internal.compat.otel_grpc import GrpcClient

        # Made in the sending thread on first use: a gRPC channel does not survive a fork.
        read = _RESPONSES[self._signal].FromString
        client = GrpcClient(self._signal, grpc_compression(self._signal), _GRPC_METHOD[self._signal], read)
        self.endpoint = client.endpoint
        return client

    def reconnect(self) -> None:
        # Not closed: closing the parent's channel here would end the parent's connection.
        self._client = None

    def send(self, payload: bytes, timeout: float) -> SendResult:
        return guard.attempt(self._send, payload, timeout, on_error=self._failure)

    def _send(self, payload: bytes, timeout: float) -> SendResult:
        if self._client is None:
            self._client = self._connect()
        response = self._client.call(payload, max(0.05, min(timeout, self._client.timeout)))
        return SendResult(True, rejected=_rejected_count(response))

    @staticmethod
    def _failure(error: Exception) -> SendResult:
        code = getattr(getattr(error, "code", lambda: None)(), "name", None) or type(error).__name__
        details = str(getattr(error, "details", lambda: "")())
        unreachable, advice = failures.of_grpc(details) if code == "UNAVAILABLE" else failures.Failure()
        return SendResult(False, code in _RETRYABLE_GRPC, error=code, unreachable=unreachable, advice=advice)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


class SdkDestination:
    """An exporter with the SDK's interface: console, Zipkin, the user's own.

    Its own timeout applies. A failed batch is not sent again.
    """

    def __init__(self, exporter: Any, component_type: str) -> None:
        self._exporter = exporter
        self.component_type = component_type
        self.endpoint = type(exporter).__name__

    def reconnect(self) -> None:
        pass

    def send(self, payload: Sequence[Any], timeout: float) -> SendResult:
        return guard.attempt(self._send, payload, on_error=lambda error: SendResult(False, error=type(error).__name__))

    def _send(self, payload: Sequence[Any]) -> SendResult:
        result = self._exporter.export(payload)
        return SendResult(getattr(result, "name", "SUCCESS") == "SUCCESS", error=getattr(result, "name", ""))

    def close(self) -> None:
        self._exporter.shutdown()
