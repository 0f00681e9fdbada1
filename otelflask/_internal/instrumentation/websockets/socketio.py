"""Flask-SocketIO: its requests belong to the app's, whichever was set up first, and its events are recorded."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask
from flask_socketio import ConnectionRefusedError, SocketIO
from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.status import Status, StatusCode

from otelflask._internal import attribute_names, clock, guard
from otelflask._internal.compat.sentry import enter_scopes, leave_scopes
from otelflask._internal.compat.socketio import HANDLE_EVENT, Middleware
from otelflask._internal.error_capture import capture
from otelflask._internal.exceptions.attributes import exception_layer, exception_type
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.patches import all_of, replace
from otelflask._internal.request_record import ENVIRON_KEY, RequestRecord
from otelflask._internal.sdk import durations
from otelflask._internal.version import __version__
from otelflask._internal.wsgi import StartResponse, WsgiApp

#: Wraps an app within its instrumentation. Returns whether the app is instrumented.
Surround = Callable[[Flask, Callable[[WsgiApp], WsgiApp]], bool]


class Events:
    """Measures the events of Socket.IO that the app handles.

    Args:
        pipeline: Where their telemetry goes.
        spans: Whether each event has a span.
    """

    def __init__(self, pipeline: Pipeline, spans: bool) -> None:
        self.tracer = pipeline.tracer_provider.get_tracer("otelflask.websockets", __version__) if spans else None
        self.duration = pipeline.meter_provider.get_meter("otelflask.websockets", __version__).create_histogram(
            "otelflask.socketio.event.duration",
            unit="s",
            description="Duration of the handlers of Socket.IO's events.",
            explicit_bucket_boundaries_advisory=durations.HTTP,
        )


class _Event:
    """One event while it is handled.

    Args:
        events: Its measures.
        name: The name for which the app has the handler.
        namespace: The namespace.
    """

    def __init__(self, events: Events, name: str, namespace: str) -> None:
        self._events = events
        self._labels = {attribute_names.EVENT: name, attribute_names.NAMESPACE: namespace}
        self._error: Exception | None = None
        self._started = clock.perf_counter_ns()
        current = trace_api.get_current_span()
        self._span: trace_api.Span = trace_api.INVALID_SPAN
        self._token: Any = None
        if events.tracer is not None:
            around = current.get_span_context()
            # A trace of its own: a WebSocket may stay open for days.
            self._span = events.tracer.start_span(
                f"event {name}",
                context_api.Context(),
                SpanKind.CONSUMER,
                self._labels,
                [Link(around)] if around.is_valid else [],
            )
            self._token = context_api.attach(trace_api.set_span_in_context(self._span))
        self._scopes = enter_scopes(lambda: None)[1]

    def observed(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """The handler, whose exceptions are noticed. Flask-SocketIO may try it twice, with fewer arguments."""

        @functools.wraps(handler)
        def observed(*arguments: Any) -> Any:
            self._error = None
            try:
                return handler(*arguments)
            except ConnectionRefusedError:
                # An answer to the client.
                raise
            except Exception as error:
                self._error = error
                raise

        return observed

    @guard.guarded("ending an event")
    def end(self, handled: bool) -> None:
        """Record the outcome, and report an exception.

        Args:
            handled: Whether the app has handled its exception.
        """
        try:
            self._record(handled)
        finally:
            leave_scopes(self._scopes)
            if self._token is not None:
                context_api.detach(self._token)
                self._span.end()

    def _record(self, handled: bool) -> None:
        seconds, error = (clock.perf_counter_ns() - self._started) / 1e9, self._error
        kind = {"error.type": exception_type(error)} if error is not None else {}
        self._events.duration.record(seconds, {**self._labels, **kind})
        if error is not None:
            self._span.set_attributes(kind)
            self._span.set_status(Status(StatusCode.ERROR, guard.safe_text(error)))
            capture(error, handled, "socketio")
            self._span.add_event("exception", exception_layer(error, context_api.get_current()))


def observe(events: Events, surround: Surround) -> Callable[[], None]:
    """Observe Flask-SocketIO.

    Args:
        events: Measures events.
        surround: Wraps an app within its instrumentation.

    Returns:
        A function that undoes it.
    """
    undo = (
        replace(SocketIO, "init_app", _within(surround, SocketIO.init_app)),
        replace(SocketIO, HANDLE_EVENT, _observing(events, getattr(SocketIO, HANDLE_EVENT))),
        replace(Middleware, "__call__", _with_route(Middleware.__call__)),
    )
    return all_of(undo)


def _within(surround: Surround, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def init_app(self: SocketIO, app: Any, *arguments: Any, **options: Any) -> None:
        original(self, app, *arguments, **options)
        with guard.log_errors("socketio", "the requests of Flask-SocketIO cannot be recorded"):
            _put_within(self, app, surround)

    return init_app


def _put_within(extension: SocketIO, app: Any, surround: Surround) -> None:
    """Put the middleware of Flask-SocketIO within the app's instrumentation, where it was set up after it."""
    middleware = getattr(extension, "sockio_mw", None)
    if middleware is None or app is None or app.wsgi_app is not middleware:
        # Without an app, or as an app of its own.
        return
    outer = middleware.wsgi_app

    def wrap(inner: WsgiApp) -> WsgiApp:
        middleware.wsgi_app = inner
        return middleware  # type: ignore[no-any-return]

    if surround(app, wrap):
        app.wsgi_app = outer


def _observing(events: Events, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def handle(self: SocketIO, handler: Any, name: Any, namespace: Any, *arguments: Any) -> Any:
        # What the client acknowledges has no name.
        event = guard.attempt(_event_of, events, self, name, namespace, on_error=lambda error: None)
        if event is None:
            return original(self, handler, name, namespace, *arguments)
        handled = False
        try:
            result = original(self, event.observed(handler), name, namespace, *arguments)
            handled = True
        finally:
            event.end(handled)
        return result

    return handle


def _event_of(events: Events, extension: SocketIO, name: Any, namespace: Any) -> _Event | None:
    if name is None:
        return None
    server = extension.server
    is_known = namespace in server.handlers or namespace in server.namespace_handlers
    # Handlers for all namespaces get those that clients invent.
    return _Event(events, str(name), str(namespace) if is_known else "*")


def _with_route(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def application(self: Any, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        record = environ.get(ENVIRON_KEY)
        path = self.engineio_path
        if isinstance(record, RequestRecord) and (environ.get("PATH_INFO") or "").startswith(path):
            record.route = path
        result: Iterable[bytes] = original(self, environ, start_response)
        return result

    return application
