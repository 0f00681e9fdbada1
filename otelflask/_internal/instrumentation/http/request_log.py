"""One log record a request: the content of an access log, joined to the trace."""

from __future__ import annotations

from typing import Any

from otelflask._internal import event_names
from otelflask._internal.compat.otel_api import SeverityNumber
from otelflask._internal.instrumentation.http.attributes import of_end
from otelflask._internal.instrumentation.http.ended_request import EndedRequest
from otelflask._internal.request_record import RequestRecord
from otelflask._internal.sdk.log_records import Record, emit
from otelflask._internal.version import __version__


def severity_of(status: int, broken: bool) -> tuple[SeverityNumber, str]:
    """INFO, WARN (4xx) or ERROR (5xx, or a response that broke)."""
    if status < 400 and not broken:
        return SeverityNumber.INFO, "INFO"
    if status < 500 and not broken:
        return SeverityNumber.WARN, "WARN"
    return SeverityNumber.ERROR, "ERROR"


def log_attributes(request: EndedRequest) -> dict[str, Any]:
    """The attributes of the log record that the span does not have."""
    own: dict[str, Any] = {"http.server.request.duration": request.duration}
    if request.exception_type:
        # The stack is on the span's event, and on the line that logged the exception.
        own["exception.type"], own["exception.message"] = request.exception_type, request.exception_message
    return own


def outcome_text(request: EndedRequest) -> str:
    """The end of the record's body, after method and path."""
    return f" {request.status} {request.duration * 1000:.1f} ms"


class RequestLog:
    """Emits the records of requests.

    Args:
        logger_provider: Where they are emitted.
    """

    def __init__(self, logger_provider: Any) -> None:
        self.logger = logger_provider.get_logger("otelflask.http", __version__)

    def emit(self, record: RequestRecord, request: EndedRequest) -> None:
        """Emit a request's record, as an object."""
        severity, text = severity_of(request.status, request.broken)
        body = f"{request.method} {request.path}{outcome_text(request)}"
        if request.app_error is not None:
            body += f": {request.app_error[1]}"
        emit(
            self.logger,
            Record(
                request.ended_at,
                severity,
                text,
                body,
                (*of_end(record), log_attributes(request)),
                record.span_context,
                record.context,
                event_names.REQUEST,
            ),
        )
