"""Create a request's record when the server calls the app, and close it after the response's last byte.

It wraps ``app.wsgi_app``, so it sees every request that reaches the app: those that a
``before_request`` answers, those that raise to the server, and streams that a client abandons.
Endpoints of otelflask are wrapped around it, and excluded URLs pass it unrecorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from flask import has_request_context
from opentelemetry import context as context_api
from opentelemetry.instrumentation.propagators import get_global_response_propagator
from opentelemetry.instrumentation.wsgi import default_response_propagation_setter
from werkzeug.wsgi import get_current_url

from otelflask._internal import clock, guard
from otelflask._internal.compat.otel_api import SUPPRESS_INSTRUMENTATION_KEY, attach, detach, ids_of
from otelflask._internal.exceptions.walk import forget
from otelflask._internal.instrumentation.http.body import observed
from otelflask._internal.observers import Observers
from otelflask._internal.randomness import getrandbits
from otelflask._internal.request_record import (
    ENVIRON_KEY,
    MAX_URL_PART_LENGTH,
    Connection,
    RequestRecord,
    route_of,
)
from otelflask._internal.settings import Settings
from otelflask._internal.wsgi import StartResponse, WsgiApp

Hook = Callable[..., Any]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}\Z")


class MiddlewareOptions(NamedTuple):
    """Settings, observers and hooks of an app's middleware."""

    settings: Settings
    observers: Observers
    excluded_urls: Any
    response_hook: Hook | None
    #: Returns the user of the current request.
    user: Callable[[], object]


class Middleware:
    """Records one app's requests. ``wrap`` returns the WSGI app wrapped in it."""

    def __init__(self, parts: MiddlewareOptions) -> None:
        #: Whether requests pass through unrecorded.
        self.off = False
        self.use(parts)

    def use(self, parts: MiddlewareOptions) -> None:
        """Use these options from now on."""
        self._observers = parts.observers
        # Bound once.
        self._close_record = self._close
        self._excluded_urls = parts.excluded_urls
        self._response_hook = parts.response_hook
        self._user = parts.user
        self._traceresponse = parts.settings.traceresponse
        header = parts.settings.request_id_header
        self._request_id_header = header
        self._request_id_name = header.lower()
        self._request_id_key = "HTTP_" + header.upper().replace("-", "_") if header else ""

    def wrap(self, wsgi_app: WsgiApp) -> WsgiApp:
        """Return the WSGI app wrapped in this middleware."""
        #: The WSGI app within it. It may be wrapped later.
        self.inner = wsgi_app

        def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            wsgi_app = self.inner
            outer = environ.get(ENVIRON_KEY)
            if self.off or (outer is not None and not outer.closed):
                # Uninstrumented, or an outer app of this process (a dispatcher, a second init) has opened the record.
                return wsgi_app(environ, start_response)
            if self._excluded_urls is not None and self._is_excluded(environ):
                return self._run_excluded(wsgi_app, environ, start_response)
            record = self._open(environ)
            if record is None:
                return wsgi_app(environ, start_response)
            observers = self._observers
            token = attach(record.context)
            scopes = observers.enter(record)
            try:
                try:
                    result = wsgi_app(environ, self._start_response(record, start_response))
                finally:
                    if record.connection is not None:
                        self._end_connection(record, record.connection)
                    observers.leave(scopes)
                    # An exception that waits for its export keeps this frame and its variables.
                    scopes = None
            except BaseException as error:
                if record.connection is not None:
                    # flask-sock and Flask-SocketIO raise where the server must not answer any more.
                    raise
                record.error = error
                record.unhandled = True
                record.fail()
                self._close(record)
                raise
            finally:
                detach(token)
            if record.connection is not None:
                return result
            return observed(record, result, environ, self._close, observers.stream_context)

        return application

    @guard.guarded("matching excluded URLs", False)
    def _is_excluded(self, environ: dict[str, Any]) -> bool:
        # Cut, because a regular expression of the setting may take time quadratic in the URL's length.
        return bool(self._excluded_urls.url_disabled(get_current_url(environ)[:MAX_URL_PART_LENGTH]))

    @staticmethod
    def _run_excluded(wsgi_app: WsgiApp, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        # Otherwise the statements of an excluded request would be traces of their own.
        token = context_api.attach(context_api.set_value(SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            return wsgi_app(environ, start_response)
        finally:
            context_api.detach(token)

    @guard.guarded("opening a request")
    def _open(self, environ: dict[str, Any]) -> RequestRecord | None:
        record = RequestRecord(environ, clock.time_ns(), clock.perf_counter_ns())
        if self._request_id_key:
            given = environ.get(self._request_id_key)
            record.request_id = given if given and _REQUEST_ID.match(given) else _hex(getrandbits(128), 16)
        record.close = self._close_record
        environ[ENVIRON_KEY] = record
        # Last: a record that observers know must also be closed.
        self._observers.opened(record)
        return record

    @guard.guarded("ending a WebSocket")
    def _end_connection(self, record: RequestRecord, connection: Connection) -> None:
        error = record.error
        connection.ended(error)
        if isinstance(error, Exception) and not record.unhandled:
            # Also where a handler of the app makes an answer of it, which nobody gets.
            self._observers.failed(record, error)
        record.error = None

    def _start_response(self, record: RequestRecord, start_response: StartResponse) -> StartResponse:
        def wrapped(status: str, headers: list[tuple[str, str]], *args: Any, **kwargs: Any) -> Any:
            if record.connection is not None:
                return start_response(status, headers, *args, **kwargs)
            completed = self._complete_headers(record, status, headers)
            write = start_response(status, headers if completed is None else completed, *args, **kwargs)
            return partial(_write, record, write)

        return wrapped

    @guard.guarded("adding headers to a response")
    def _complete_headers(
        self, record: RequestRecord, status: str, given: list[tuple[str, str]]
    ) -> list[tuple[str, str]] | None:
        """The response's headers with ours, as a copy: the app may use its list again."""
        headers = list(given)
        code = status[:3]
        record.status = int(code) if code.isdigit() else 0
        record.response_headers = headers
        if record.route is None:
            # An app in this one has matched, which is not instrumented.
            record.route = route_of(record.environ)
        if record.user_id is None and has_request_context():
            found = guard.call_hook("hook `user`", self._user)
            if found is not None:
                record.user_id = guard.safe_text(found)[:256]
        has_id, has_trace = not record.request_id, not self._traceresponse
        for name, value in given:
            name = name.lower()
            if name == "content-length":
                record.content_length = int(value) if value.isdigit() else None
            elif name == self._request_id_name:
                has_id = True
            elif name == "traceresponse":
                has_trace = True
        if not has_id:
            headers.append((self._request_id_header, record.request_id))
        if not has_trace:
            trace_id, span_id, flags = ids_of(record.span_context)
            if trace_id and span_id:
                headers.append(("traceresponse", f"00-{_hex(trace_id, 16)}-{_hex(span_id, 8)}-0{flags & 1}"))
        propagator = get_global_response_propagator()  # type: ignore[no-untyped-call]
        if propagator is not None:
            propagator.inject(headers, context=record.context, setter=default_response_propagation_setter)
        if self._response_hook is not None:
            guard.call_hook("hook `response_hook`", self._response_hook, record.span, status, headers)
        return headers

    @guard.guarded("closing a request")
    def _close(self, record: RequestRecord) -> None:
        if record.closed:
            return
        record.closed = True
        record.stop(clock.perf_counter_ns())
        try:
            self._observers.closed(record)
        finally:
            forget(record.context)
            record.release()


def _write(record: RequestRecord, write: Callable[[bytes], object], data: bytes) -> object:
    """Send a piece by the callable that a server gives an app (PEP 3333, "The write() Callable")."""
    record.has_begun = True
    return write(data)


def _hex(number: int, size: int) -> str:
    """An id of `size` bytes as hex digits. Formatting a large integer takes twice as long."""
    return number.to_bytes(size, "big").hex()
