"""Opens a request's record when the server hands it over, closes it when its last byte is sent.

Stands around ``app.wsgi_app``, so that it sees every request: those that a
``before_request`` answers, those that raise to the server, and streams whose
client goes away.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from flask import has_request_context
from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.instrumentation.propagators import get_global_response_propagator
from opentelemetry.instrumentation.wsgi import default_response_propagation_setter
from opentelemetry.trace import SpanKind
from opentelemetry.trace.status import Status, StatusCode

from otelflask import guard
from otelflask.http.attributes import MAX_LENGTH, outcome_layer, request_layers, route_of
from otelflask.http.body import observed
from otelflask.http.headers import CapturedHeaders
from otelflask.http.metrics import HttpMetrics
from otelflask.http.record import ENVIRON_KEY, RequestRecord
from otelflask.http.remote import remote_context
from otelflask.http.request_log import RequestLog
from otelflask.pipeline.attributes import Layer
from otelflask.pipeline.exceptions import exception_layer, remembering
from otelflask.pipeline.spans import Span, SpanStarter
from otelflask.settings import Settings
from otelflask.wsgi import StartResponse, WsgiApp


class Reports(Protocol):
    """What makes error reports of a request's problems (``errors.reports``)."""

    def scope(self) -> AbstractContextManager[Any]:
        """Scopes for what the app says of the request."""
        ...

    def within(self, scopes: Any) -> AbstractContextManager[Any]:
        """The same again, while a stream goes on."""
        ...

    def unhandled(self, record: RequestRecord, error: BaseException) -> None:
        """No handler wants an exception of the current request's."""
        ...

    def expected(self, record: RequestRecord) -> None:
        """The request was answered with a 4xx."""
        ...

    def closed(self, record: RequestRecord, error_type: str | None, context: dict[str, Any]) -> None:
        """The request ended."""
        ...


Hook = Callable[..., Any]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}\Z")


class MiddlewareParts(NamedTuple):
    """What sees an app's requests, and how."""

    settings: Settings
    starter: SpanStarter
    metrics: HttpMetrics
    request_log: RequestLog | None
    excluded_urls: Any
    response_hook: Hook | None
    reports: Reports | None
    find_user: Callable[[], object] | None
    seen_user: Callable[[str], None] | None
    seen_request: Callable[[RequestRecord, str | None], None] | None


class Middleware:
    """Telemetry of one app's requests; ``wrap`` gives the WSGI app with it."""

    def __init__(self, parts: MiddlewareParts) -> None:
        #: Whether requests are handed through unseen.
        self.off = False
        self.use(parts)

    def use(self, parts: MiddlewareParts) -> None:
        """See requests with these from now on."""
        settings = parts.settings
        self._settings = settings
        self._starter = parts.starter
        self._metrics = parts.metrics
        self._request_log = parts.request_log
        self._excluded_urls = parts.excluded_urls
        self._response_hook = parts.response_hook
        self._reports = parts.reports
        self._within = parts.reports.within if parts.reports is not None else None
        self._find_user = parts.find_user
        self._seen_user = parts.seen_user
        self._seen_request = parts.seen_request
        header = settings.request_id_header
        self._request_id_header = header
        self._request_id_key = "HTTP_" + header.upper().replace("-", "_") if header else ""
        self._captures_headers = bool(settings.request_headers or settings.response_headers)
        self._headers = CapturedHeaders(settings)

    def wrap(self, wsgi_app: WsgiApp) -> WsgiApp:
        """The WSGI app whose requests leave telemetry."""

        def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            outer = environ.get(ENVIRON_KEY)
            if self.off or (outer is not None and not outer.closed):
                # An outer app of this process (a dispatcher, a second init) has opened the record.
                return wsgi_app(environ, start_response)
            if self._excluded_urls is not None and self._is_excluded(environ):
                return self._run_excluded(wsgi_app, environ, start_response)
            record = self._open(environ)
            if record is None:
                return wsgi_app(environ, start_response)
            token = context_api.attach(record.context)
            try:
                if self._reports is None:
                    result = wsgi_app(environ, self._start_response(record, start_response))
                else:
                    with self._reports.scope() as record.scope:
                        result = wsgi_app(environ, self._start_response(record, start_response))
            except BaseException as error:
                record.error = error
                record.unhandled = True
                record.status = record.status or 500
                self._close(record)
                raise
            finally:
                context_api.detach(token)
            try:
                return observed(record, result, environ, self._close, self._within)
            except Exception:
                guard.failed("observing a response")
                self._close(record)
                return result

        return application

    def _is_excluded(self, environ: dict[str, Any]) -> bool:
        try:
            from werkzeug.wsgi import get_current_url

            # A setting's expression may look at it from each of its characters.
            return bool(self._excluded_urls.url_disabled(get_current_url(environ)[:MAX_LENGTH]))
        except Exception:
            guard.failed("excluded URLs")
            return False

    @staticmethod
    def _run_excluded(wsgi_app: WsgiApp, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        # Without this, statements of an excluded request would be traces of their own.
        token = context_api.attach(context_api.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            return wsgi_app(environ, start_response)
        finally:
            context_api.detach(token)

    @guard.guarded("opening a request")
    def _open(self, environ: dict[str, Any]) -> RequestRecord | None:
        record = RequestRecord(environ)
        if self._request_id_key:
            given = environ.get(self._request_id_key, "")
            record.request_id = given if _REQUEST_ID.match(given) else f"{random.getrandbits(128):032x}"
        parent, links = remote_context(environ, self._settings.remote_context)
        shared, own = request_layers(record)
        if record.request_id:
            own["http.request.id"] = record.request_id
        record.layers = (shared, own)
        span = self._starter.start(
            record.method if record.method != "_OTHER" else "HTTP",
            SpanKind.SERVER,
            record.layers,
            record.started_at,
            parent,
            links,
        )
        record.span = span
        record.sampled = bool(span.get_span_context().trace_flags & 1)
        record.context = remembering(trace_api.set_span_in_context(span, parent))
        if self._captures_headers and span.is_recording():
            span.set_attributes(self._headers.of_request(environ))
        environ[ENVIRON_KEY] = record
        # Last: it is closed from now on.
        self._metrics.opened(record)
        return record

    def _start_response(self, record: RequestRecord, start_response: StartResponse) -> StartResponse:
        def wrapped(status: str, headers: list[tuple[str, str]], *args: Any, **kwargs: Any) -> Any:
            completed = self._answered(record, status, headers)
            return start_response(status, headers if completed is None else completed, *args, **kwargs)

        return wrapped

    @guard.guarded("reading a response")
    def _answered(
        self, record: RequestRecord, status: str, given: list[tuple[str, str]]
    ) -> list[tuple[str, str]] | None:
        """The response's headers with ours. In: the app's, whose list is the app's and may be used again."""
        headers = list(given)
        code = status[:3]
        record.status = int(code) if code.isdigit() else 0
        record.response_headers = headers
        # Who answers in the app's place does so when Flask has forgotten the match.
        record.route = route_of(record.environ) or record.route
        if self._find_user is not None and record.user_id is None and has_request_context():
            found = guard.call_hook("user", self._find_user)
            record.user_id = None if found is None else guard.safe_text(found)[:256]
        names = {name.lower() for name, _ in headers}
        if record.request_id and self._request_id_header.lower() not in names:
            headers.append((self._request_id_header, record.request_id))
        context = record.span.get_span_context()
        if self._settings.traceresponse and context.is_valid and "traceresponse" not in names:
            headers.append(
                ("traceresponse", f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}")
            )
        propagator = get_global_response_propagator()
        if propagator is not None:
            propagator.inject(headers, context=record.context, setter=default_response_propagation_setter)
        if self._response_hook is not None:
            guard.call_hook("response_hook", self._response_hook, record.span, status, headers)
        return headers

    @guard.guarded("closing a request")
    def _close(self, record: RequestRecord) -> None:
        if record.closed:
            return
        record.closed = True
        ended_at = record.stop()
        if not record.status:
            # The server gets no answer from us: the app returned without calling start_response.
            record.status = 500
        error_type = record.error_type
        outcome = outcome_layer(record.method, record.route, record.status, error_type)
        span = record.span
        own: dict[str, Any] = {"http.response.body.size": record.response_size}
        if record.request_size is not None:
            own["http.request.body.size"] = record.request_size
        if record.user_id is not None:
            own["user.id"] = record.user_id
            if self._seen_user is not None:
                guard.call_hook("count of users", self._seen_user, record.user_id)
        for room in record.at_close:
            own.update(guard.call_hook("a room at a request's end", room, record) or {})
        layer = Layer(own)
        try:
            if span.is_recording():
                self._finish_span(record, span, outcome, layer, error_type)
            self._metrics.closed(record, record.layers[0].get("network.protocol.version"))
            if self._request_log is not None:
                self._request_log.closed(record, (*record.layers, outcome, layer), ended_at)
            if self._reports is not None:
                if error_type is not None or record.problems:
                    self._reports.closed(record, error_type, {**record.layers[1], **outcome, **layer})
                if 400 <= record.status < 500 and not record.broken:
                    self._reports.expected(record)
        finally:
            # Whatever a view met, the span leaves.
            span.end(ended_at)
            if self._seen_request is not None:
                self._seen_request(record, error_type)
            record.release()

    def _finish_span(
        self, record: RequestRecord, span: trace_api.Span, outcome: Layer, layer: Layer, error_type: str | None
    ) -> None:
        if record.route is not None and getattr(span, "name", None) in (record.method, "HTTP"):
            # A name that the app gave stays.
            span.update_name(f"{'HTTP' if record.method == '_OTHER' else record.method} {record.route}")
        if isinstance(span, Span):
            span.add_layer(outcome)
            span.add_layer(layer)
        else:
            span.set_attributes({**outcome, **layer})
        if self._captures_headers:
            span.set_attributes(self._headers.of_response(record.response_headers))
        if error_type is not None:
            description = None
            if record.error is not None:
                of_error = exception_layer(record.error, record.context)
                if isinstance(span, Span):
                    span.add_known_event("exception", of_error)
                else:
                    span.add_event("exception", of_error)
                description = guard.safe_text(record.error)[:1_024]
            span.set_status(Status(StatusCode.ERROR, description))
