"""One log record a request: what an access log would say, joined to its trace."""

from __future__ import annotations

from typing import Any

from opentelemetry._logs import SeverityNumber

from otelflask import event_names
from otelflask.http.record import RequestRecord
from otelflask.pipeline.attributes import Layers
from otelflask.pipeline.exceptions import exception_layer
from otelflask.pipeline.records import Record, emit
from otelflask.version import __version__


class RequestLog:
    """Emits the record at INFO, WARN (4xx) or ERROR (5xx)."""

    def __init__(self, logger_provider: Any) -> None:
        self._logger = logger_provider.get_logger("otelflask.http", __version__)

    def closed(self, record: RequestRecord, layers: Layers, ended_at: int) -> None:
        """In: the complete record, the attributes it shares with its span, and its end in epoch ns."""
        status = record.status
        if status < 400 and not record.broken:
            severity, text = SeverityNumber.INFO, "INFO"
        elif status < 500 and not record.broken:
            severity, text = SeverityNumber.WARN, "WARN"
        else:
            severity, text = SeverityNumber.ERROR, "ERROR"
        own: dict[str, Any] = {"http.server.request.duration": record.duration}
        if record.error is not None and record.error_type is not None:
            # The stack is on the span's event, and on the log line of whoever logged it.
            layer = exception_layer(record.error, record.context)
            own["exception.type"] = layer["exception.type"]
            own["exception.message"] = layer["exception.message"]
        path = layers[1]["url.path"]
        emit(
            self._logger,
            Record(
                ended_at,
                severity,
                text,
                f"{record.method} {path} {status} {record.duration * 1000:.1f} ms",
                (*layers, own),
                record.span.get_span_context(),
                record.context,
                event_names.REQUEST,
            ),
        )
