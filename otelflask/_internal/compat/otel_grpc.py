"""OpenTelemetry's OTLP exporters over gRPC: their channel, to send our own bytes.

Apart from those over HTTP, because grpcio takes 9 MB of each process that imports it. Source:
``opentelemetry.exporter.otlp.proto.grpc``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

__all__ = ["GZIP", "NO_COMPRESSION", "GrpcClient"]

GZIP, NO_COMPRESSION = grpc.Compression.Gzip, grpc.Compression.NoCompression
#: The stock exporters by signal.
_EXPORTERS: dict[str, Callable[..., Any]] = {
    "traces": OTLPSpanExporter,
    "metrics": OTLPMetricExporter,
    "logs": OTLPLogExporter,
}


class GrpcClient:
    """The gRPC channel of a stock exporter.

    Args:
        signal: The signal.
        compression: The compression; None where a variable gives it.
        method: The full name of the method.
        read: Decodes an answer.
    """

    def __init__(self, signal: str, compression: Any, method: str, read: Callable[[bytes], Any]) -> None:
        self._exporter = _EXPORTERS[signal](compression=compression)
        self.endpoint: str = self._exporter._endpoint
        #: Seconds that an answer may take.
        self.timeout: float = self._exporter._timeout
        self._call = self._exporter._channel.unary_unary(method, request_serializer=None, response_deserializer=read)

    def call(self, payload: bytes, timeout: float) -> Any:
        """Send one request. Raises what gRPC raises."""
        return self._call(payload, timeout=timeout, metadata=self._exporter._headers)

    def close(self) -> None:
        """Close its channel."""
        self._exporter.shutdown(timeout_millis=0)
