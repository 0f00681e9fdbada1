"""One log record a request: the content of an access log, joined to the trace."""

from __future__ import annotations

from typing import Any

from otelflask._internal import event_names
from otelflask._internal.compat.otel_api import SeverityNumber
from otelflask._internal.exceptions.attributes import exception_layer
from otelflask._internal.observers import RequestObserver
from otelflask._internal.request_record import RequestRecord
from otelflask._internal.sdk.log_records import Record, emit
from otelflask._internal.version import __version__


class RequestLog(RequestObserver):
    """Emits the record at INFO, WARN (4xx) or ERROR (5xx)."""

    def __init__(self, logger_provider: Any) -> None:
        self._logger = logger_provider.get_logger("otelflask.http", __version__)

    def closed(self, record: RequestRecord) -> None:
        status = record.status
        if status < 400 and not record.broken:
            severity, text = SeverityNumber.INFO, "INFO"
        elif status < 500 and not record.broken:
            severity, text = SeverityNumber.WARN, "WARN"
        else:
            severity, text = SeverityNumber.ERROR, "ERROR"
        own: dict[str, Any] = {"http.server.request.duration": record.duration}
        if record.error is not None and record.error_type is not None:
            # The stack is on the span's event, and on the line that logged the exception.
            layer = exception_layer(record.error, record.context)
            own["exception.type"] = layer["exception.type"]
            own["exception.message"] = layer["exception.message"]
        body = f"{record.method} {record.path} {status} {record.duration * 1000:.1f} ms"
        if record.app_error is not None:
            body += f": {record.app_error[1]}"
        emit(
            self._logger,
            Record(
                record.ended_at,
                severity,
                text,
                body,
                (*record.attributes, own),
                record.span.get_span_context(),
                record.context,
                event_names.REQUEST,
            ),
        )
