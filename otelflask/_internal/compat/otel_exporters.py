"""OpenTelemetry's OTLP exporters over HTTP: their client, to send our own bytes.

They read the standard variables (endpoint, headers, TLS, compression, timeout). Their handling of
answers is not used: see `export.destinations`. Source: ``opentelemetry.exporter.otlp.proto.http``.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any, Protocol

from opentelemetry.exporter.otlp.common.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter

__all__ = ["HTTP_EXPORTERS", "HttpClient", "HttpResult"]

_GZIP = Compression.GZIP
#: The stock exporters by signal.
HTTP_EXPORTERS: dict[str, Callable[..., Any]] = {
    "traces": HttpSpanExporter,
    "metrics": HttpMetricExporter,
    "logs": HttpLogExporter,
}


class HttpResult(Protocol):
    """An HTTP answer: its status, or None and the `error` where none arrived."""

    status_code: int | None
    error: Exception | None

    def headers(self) -> Any:
        """The headers, by lower-case name."""
        ...

    def content(self) -> bytes:
        """The body."""
        ...


class HttpClient:
    """The HTTP client of a stock exporter.

    Args:
        signal: The signal.
        compression: The compression; None where a variable gives it.
    """

    def __init__(self, signal: str, compression: Any) -> None:
        self._client = HTTP_EXPORTERS[signal](compression=compression)._client
        self.endpoint: str = self._client._endpoint
        #: Seconds that an answer may take.
        self.timeout: float = self._client._timeout

    def post(self, payload: bytes, timeout: float) -> HttpResult:
        """Send one request. Raises what the transport raises."""
        client = self._client
        # The client's own way is gzip's best level, which takes several times as long and saves little.
        data = gzip.compress(payload, 1) if client._compression is _GZIP else client._compress(payload)
        answer: HttpResult = client._transport.request(
            "POST", client._endpoint, headers=client._headers, data=data, timeout=timeout
        )
        return answer

    def close(self) -> None:
        """Close its connections."""
        self._client.shutdown()
