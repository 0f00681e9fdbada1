"""A fake collector: a real OTLP receiver over HTTP and gRPC that keeps what it receives.

It decodes protobuf and counts requests. Tests can script its next answers: a status, a delay, no
answer, or a closed connection.
"""

from __future__ import annotations

import gzip
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from otelflask._internal.export.otlp_values import attributes_of, plain

_REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
_RESPONSES: dict[str, Any] = {
    "traces": ExportTraceServiceResponse,
    "metrics": ExportMetricsServiceResponse,
    "logs": ExportLogsServiceResponse,
}
_SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}
_GRPC_CODES = {
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    500: grpc.StatusCode.INTERNAL,
}


@dataclass(frozen=True)
class Reply:
    """The answer to one export request. A status other than 200 stores nothing.

    Over gRPC the statuses 400, 401, 429, 500 and 503 become their gRPC codes.

    Attributes:
        status: The HTTP status.
        headers: Response headers.
        body: The body.
        delay: Seconds before the answer.
        hang: Whether to keep the connection open without an answer.
        reset: Whether to close the connection without an answer.
        rejected: The number of items in a partial success.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay: float = 0.0
    hang: bool = False
    reset: bool = False
    rejected: int = 0


@dataclass(frozen=True)
class Received:
    """One span, log record or metric, with the values of its resource and scope, as plain Python."""

    name: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: str
    message: Any


class FakeCollector:
    """Receives OTLP on two ports of 127.0.0.1. Use it as a context manager, or call ``start()`` and ``stop()``.

    `script` holds replies for the next requests, one each. Without one, the reply is `default`.
    """

    def __init__(self) -> None:
        self.script: deque[Reply] = deque()
        self.default = Reply()
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.attempts = 0
        self._changed = threading.Condition()
        self.stopping = threading.Event()

    def __enter__(self) -> FakeCollector:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self, http_port: int = 0) -> FakeCollector:
        """Start listening.

        Args:
            http_port: The HTTP port (default: a free one).
        """
        self.stopping.clear()
        self._http = _HttpServer(("127.0.0.1", http_port), _handler(self))
        self._http_thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._http_thread.start()
        self._grpc = grpc.server(futures.ThreadPoolExecutor(4))
        for signal, service in _SERVICES.items():
            self._grpc.add_generic_rpc_handlers((_grpc_handler(self, signal, service),))
        self._grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        return self

    def stop(self) -> None:
        """Close both ports. Requests that are still waiting are ended."""
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._http_thread.join()
        self._grpc.stop(0).wait()

    @property
    def http_port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def http_endpoint(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def grpc_endpoint(self) -> str:
        return f"http://127.0.0.1:{self._grpc_port}"

    def environment(self, protocol: str = "http/protobuf") -> dict[str, str]:
        """The ``OTEL_*`` variables that send to this collector.

        Args:
            protocol: ``http/protobuf`` or ``grpc``.
        """
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.grpc_endpoint if protocol == "grpc" else self.http_endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        }

    def receive(self, signal: str, headers: dict[str, str], payload: bytes) -> Reply:
        """Decode and keep one export, and return its answer.

        Raises:
            DecodeError: The protobuf is broken.
        """
        with self._changed:
            self.attempts += 1
            reply = self.script.popleft() if self.script else self.default
        if reply.delay:
            self.stopping.wait(reply.delay)
        if reply.hang:
            self.stopping.wait(60)
        if reply.status == 200 and not reply.hang and not reply.reset and reply.body is None:
            message = _REQUESTS[signal].FromString(payload)
            with self._changed:
                self.requests.append((signal, headers, message))
                self._changed.notify_all()
        return reply

    def clear(self) -> None:
        """Forget what was received."""
        with self._changed:
            self.requests.clear()
            self.attempts = 0

    def wait_for(self, predicate: Callable[[], Any], timeout: float = 30.0) -> Any:
        """Wait until `predicate()` is true.

        Args:
            predicate: Called again and again.
            timeout: Seconds.

        Returns:
            Its value.

        Raises:
            TimeoutError: It did not become true. The message says what was received.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                value = predicate()
                if value:
                    return value
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError(
                        f"not received within {timeout} s; spans: {[s.name for s in self.spans]}, "
                        f"logs: {[r.name for r in self.logs]}, metrics: {sorted({m.name for m in self.metrics})}"
                    )
                self._changed.wait(min(left, 0.2))

    def _items(self, signal: str, groups: str, scopes: str, items: str) -> Iterator[tuple[Any, dict[str, Any], str]]:
        for kind, _, message in list(self.requests):
            if kind != signal:
                continue
            for group in getattr(message, groups):
                resource = attributes_of(group.resource.attributes)
                for scope in getattr(group, scopes):
                    for item in getattr(scope, items):
                        yield item, resource, scope.scope.name

    @property
    def spans(self) -> list[Received]:
        """All spans, in the order of arrival."""
        return [
            Received(item.name, attributes_of(item.attributes), resource, scope, item)
            for item, resource, scope in self._items("traces", "resource_spans", "scope_spans", "spans")
        ]

    @property
    def logs(self) -> list[Received]:
        """All log records. `name` is the body's text."""
        return [
            Received(str(plain(item.body)), attributes_of(item.attributes), resource, scope, item)
            for item, resource, scope in self._items("logs", "resource_logs", "scope_logs", "log_records")
        ]

    @property
    def metrics(self) -> list[Received]:
        """All metrics of all exports. `message` has the points."""
        return [
            Received(item.name, {}, resource, scope, item)
            for item, resource, scope in self._items("metrics", "resource_metrics", "scope_metrics", "metrics")
        ]

    def points(self, name: str) -> list[tuple[dict[str, Any], dict[str, Any], Any]]:
        """The points of a metric in each resource's last export: resource, attributes, point."""
        last: dict[str, tuple[dict[str, Any], Any]] = {}
        for metric in self.metrics:
            if metric.name == name:
                last[str(metric.resource.get("service.instance.id"))] = (metric.resource, metric.message)
        found = []
        for resource, message in last.values():
            data = getattr(message, message.WhichOneof("data"))
            found += [(resource, attributes_of(point.attributes), point) for point in data.data_points]
        return found

    def as_dicts(self) -> list[dict[str, Any]]:
        """All requests as plain dicts, for snapshots and debugging."""
        return [MessageToDict(message) for _, _, message in self.requests]


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that has gone, such as a process that was killed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _handler(collector: FakeCollector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            payload = self.rfile.read(int(self.headers.get("content-length", 0)))
            encoding = self.headers.get("content-encoding", "")
            if encoding == "gzip":
                payload = gzip.decompress(payload)
            elif encoding == "deflate":
                payload = zlib.decompress(payload)
            signal = self.path.rpartition("/")[2]
            if signal not in _REQUESTS:
                self.send_error(404)
                return
            if collector.stopping.is_set():
                # A kept-alive connection, which ends with the collector.
                self.close_connection = True
                return
            reply = collector.receive(signal, dict(self.headers.items()), payload)
            if reply.hang or reply.reset:
                self.close_connection = True
                return
            body, content_type = reply.body, "text/html"
            if body is None:
                response = _RESPONSES[signal]()
                if reply.rejected:
                    name = {
                        "traces": "rejected_spans",
                        "logs": "rejected_log_records",
                        "metrics": "rejected_data_points",
                    }[signal]
                    setattr(response.partial_success, name, reply.rejected)
                body, content_type = response.SerializeToString(), "application/x-protobuf"
            self.send_response(reply.status)
            headers = {"Content-Type": content_type, **reply.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Do not log requests."""

    return Handler


def _grpc_handler(collector: FakeCollector, signal: str, service: str) -> grpc.GenericRpcHandler:
    def export(payload: bytes, context: Any) -> bytes:
        reply = collector.receive(signal, dict(context.invocation_metadata()), payload)
        if reply.status != 200 or reply.reset or reply.hang:
            context.abort(_GRPC_CODES.get(reply.status, grpc.StatusCode.UNAVAILABLE), f"scripted {reply.status}")
        return bytes(_RESPONSES[signal]().SerializeToString())

    return grpc.method_handlers_generic_handler(service, {"Export": grpc.unary_unary_rpc_method_handler(export)})
