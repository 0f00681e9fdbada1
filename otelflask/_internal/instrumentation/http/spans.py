"""The span of a request: started at its arrival, completed with its outcome."""

from __future__ import annotations

from opentelemetry import trace as trace_api
from opentelemetry.trace import SpanKind
from opentelemetry.trace.status import Status, StatusCode

from otelflask._internal import guard
from otelflask._internal.exceptions.attributes import exception_layer
from otelflask._internal.exceptions.walk import remembering
from otelflask._internal.instrumentation.http.captured_headers import CapturedHeaders
from otelflask._internal.instrumentation.http.remote_context import remote_context
from otelflask._internal.observers import RequestObserver
from otelflask._internal.request_record import RequestRecord
from otelflask._internal.sdk.spans import Span, SpanStarter
from otelflask._internal.settings import Settings

#: The longest status description of a span, in characters.
MAX_DESCRIPTION = 1_024


class RequestSpans(RequestObserver):
    """Spans of one app's requests.

    Args:
        starter: Starts them.
        settings: The app's settings.
    """

    def __init__(self, starter: SpanStarter, settings: Settings) -> None:
        self._starter = starter
        self._remote = settings.remote_context
        self._headers = CapturedHeaders(settings)
        self._captures_headers = bool(settings.request_headers or settings.response_headers)

    def opened(self, record: RequestRecord) -> None:
        """Start the span. The app's code runs in the record's context."""
        parent, links = remote_context(record.environ, self._remote)
        name = record.method if record.method != "_OTHER" else "HTTP"
        span = self._starter.start(name, SpanKind.SERVER, record.attributes, record.started_at, parent, links)
        record.span = span
        record.sampled = bool(span.get_span_context().trace_flags & 1)
        record.context = remembering(trace_api.set_span_in_context(span, parent))
        if self._captures_headers and span.is_recording():
            span.set_attributes(self._headers.of_request(record.environ))

    def closed(self, record: RequestRecord) -> None:
        """Add the outcome and end the span. The span ends even where that raises."""
        span = record.span
        try:
            if span.is_recording():
                self._finish(record, span)
        finally:
            span.end(record.ended_at)

    def _finish(self, record: RequestRecord, span: trace_api.Span) -> None:
        if record.route is not None and getattr(span, "name", None) in (record.method, "HTTP"):
            # A name that the app has set stays.
            span.update_name(f"{'HTTP' if record.method == '_OTHER' else record.method} {record.route}")
        if isinstance(span, Span):
            span.set_layers(record.attributes)
        else:
            span.set_attributes({**record.attributes.outcome, **record.attributes.details})
        if self._captures_headers:
            span.set_attributes(self._headers.of_response(record.response_headers))
        if record.error_type is not None:
            span.set_status(Status(StatusCode.ERROR, self._add_exception(record, span)))

    @staticmethod
    def _add_exception(record: RequestRecord, span: trace_api.Span) -> str | None:
        """Add the exception as an event.

        Returns:
            The status description; None without an exception.
        """
        if record.error is None:
            return None
        of_error = exception_layer(record.error, record.context)
        if isinstance(span, Span):
            span.add_known_event("exception", of_error, record.ended_at)
        else:
            span.add_event("exception", of_error, record.ended_at)
        return guard.safe_text(record.error)[:MAX_DESCRIPTION]
