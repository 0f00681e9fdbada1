"""The signals of a request: a span, started at its arrival, and at its end all of them."""

from __future__ import annotations

import functools

from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.status import Status, StatusCode

from otelflask._internal import guard
from otelflask._internal.compat.otel_api import SPAN_KEY, current_context
from otelflask._internal.exceptions.attributes import exception_layer
from otelflask._internal.exceptions.walk import WALKS_KEY
from otelflask._internal.instrumentation.http.attributes import of_arrival, of_end
from otelflask._internal.instrumentation.http.captured_headers import CapturedHeaders
from otelflask._internal.instrumentation.http.ended_request import EndedRequest, flat_request
from otelflask._internal.instrumentation.http.metrics import HttpMetrics
from otelflask._internal.instrumentation.http.remote_context import remote_context
from otelflask._internal.instrumentation.http.request_log import RequestLog
from otelflask._internal.instrumentation.http.views import LOG, METRICS, SPAN, RequestViews
from otelflask._internal.observers import RequestObserver
from otelflask._internal.request_record import COMMAND_KEY, RECORD_KEY, RequestRecord
from otelflask._internal.sdk.spans import Span, SpanStarter
from otelflask._internal.settings import Settings

_NO_LINKS: tuple[Link, ...] = ()


class RequestSignals(RequestObserver):
    """Span, log record and measurements of one app's requests.

    Args:
        starter: Starts the spans.
        settings: The app's settings.
        metrics: Measures.
        log: Emits log records; None for none.
        views: Takes what need not be an object in the app's thread; None where everything must.
    """

    def __init__(
        self,
        starter: SpanStarter,
        settings: Settings,
        metrics: HttpMetrics,
        log: RequestLog | None,
        views: RequestViews | None,
    ) -> None:
        self._starter = starter
        self._remote = settings.remote_context
        self._headers = CapturedHeaders(settings)
        self._captures_headers = bool(settings.request_headers or settings.response_headers)
        self._metrics = metrics
        self._log = log
        self._views = views

    def opened(self, record: RequestRecord) -> None:
        """Start the span. The app's code runs in the record's context."""
        around = current_context()
        outer = around.get(SPAN_KEY)
        if outer is not None and _is_active(outer) and outer is not around.get(COMMAND_KEY):
            # Another instrumentation, such as that of a server of another kind around this app, has the request's span.
            kind, parent, links = SpanKind.INTERNAL, around, _NO_LINKS
            record.has_outer_span = True
        else:
            kind = SpanKind.SERVER
            parent, links = remote_context(record.environ, self._remote)
        name = record.method if record.method != "_OTHER" else "HTTP"
        attributes = functools.partial(of_arrival, record)
        span = self._starter.start(name, kind, attributes, record.started_at, parent, links)
        record.span = span
        record.span_context = span.get_span_context()
        record.context = Context({**parent, SPAN_KEY: span, WALKS_KEY: [], RECORD_KEY: record})
        if self._captures_headers and span.is_recording():
            span.set_attributes(self._headers.of_request(record.environ))

    def closed(self, record: RequestRecord) -> None:
        """Hand the request over. What the user sees as objects is made now."""
        try:
            self._hand_over(record)
        except BaseException as error:
            # The client has its answer when a server's signal handler raises SystemExit in here.
            if not isinstance(error, Exception) and not record.is_handed_over:
                self._hand_over(record)
            raise

    def _hand_over(self, record: RequestRecord) -> None:
        if self._captures_headers and record.span.is_recording():
            record.span.set_attributes(self._headers.of_response(record.response_headers))
        fields = flat_request(record)
        log, done = self._log, 0
        if self._views is not None:
            done = self._views.hand_over(record, fields, self._metrics, log.logger if log is not None else None)
        if done != METRICS | LOG | SPAN:
            record.is_handed_over = True
            self._make(record, EndedRequest._make(fields), done)

    def _make(self, record: RequestRecord, request: EndedRequest, done: int) -> None:
        try:
            if not done & METRICS:
                guard.call_hook("measurement of a request", self._metrics.measure, request, record.context)
            if not done & LOG and self._log is not None:
                self._log.emit(record, request)
        finally:
            # The span ends even where something raises.
            if not done & SPAN:
                self._end(record, request)

    @staticmethod
    def _end(record: RequestRecord, request: EndedRequest) -> None:
        """Add the outcome to the span, and end it."""
        span = record.span
        try:
            if span.is_recording():
                _finish(record, span, request)
        finally:
            span.end(record.ended_at)


def _is_active(found: object) -> bool:
    """Whether it is a span of this process that goes on, sampled or not. A caller's span says less than its headers."""
    if not isinstance(found, trace_api.Span):
        return False
    context = found.get_span_context()
    return context.is_valid and not context.is_remote and (found.is_recording() or not context.trace_flags & 1)


def _finish(record: RequestRecord, span: trace_api.Span, request: EndedRequest) -> None:
    if record.route is not None and getattr(span, "name", None) in (record.method, "HTTP"):
        # A name that the app has set stays.
        span.update_name(f"{'HTTP' if record.method == '_OTHER' else record.method} {record.route}")
    attributes = of_end(record)
    if isinstance(span, Span):
        span.set_layers(attributes)
    else:
        span.set_attributes({**attributes.outcome, **attributes.details})
    if record.error_type is None:
        return
    if record.error is None:
        span.set_status(Status(StatusCode.ERROR))
        return
    of_error = exception_layer(record.error, record.context)
    if isinstance(span, Span):
        span.add_known_event("exception", of_error, record.ended_at)
    else:
        span.add_event("exception", of_error, record.ended_at)
    span.set_status(Status(StatusCode.ERROR, request.description))
