"""The instrumentation of one app: its middleware, metrics, hooks, and the capture of its exceptions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import flask
from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.instrumentation import flask as contrib
from opentelemetry.metrics import get_meter_provider
from opentelemetry.util.http import parse_excluded_urls
from werkzeug.exceptions import HTTPException

from otelflask._internal import guard
from otelflask._internal.compat import uwsgi
from otelflask._internal.compat.flask import current_environ
from otelflask._internal.compat.otel_api import get_logger_provider
from otelflask._internal.compat.otel_instrumentation import real_instrument
from otelflask._internal.compat.otel_metrics import consumer_of
from otelflask._internal.current_request import current_record, known_user
from otelflask._internal.instrumentation.http.contrib import AnyOf, TakenOver, all_of
from otelflask._internal.instrumentation.http.metrics import SCHEMA_URL, HttpMetrics
from otelflask._internal.instrumentation.http.middleware import Middleware, MiddlewareOptions
from otelflask._internal.instrumentation.http.request_log import RequestLog
from otelflask._internal.instrumentation.http.signals import RequestSignals
from otelflask._internal.lifecycle.forks import notice, on_fork
from otelflask._internal.observers import Observers, RequestObserver
from otelflask._internal.request_record import ENVIRON_KEY, RequestRecord, route_of
from otelflask._internal.sdk.spans import SpanStarter
from otelflask._internal.settings.loading import load as load_settings
from otelflask._internal.version import __version__
from otelflask._internal.wsgi import StartResponse, WsgiApp

#: The methods of an app that answer an exception.
_HANDLERS = ("handle_user_exception", "handle_exception")
_COMMENTER_KEY = "SQLCOMMENTER_ORM_TAGS_AND_VALUES"


class InstrumentedApp:
    """The instrumentation of an app. `complete` adds to it."""

    def __init__(self, app: flask.Flask) -> None:
        self._app = app
        self._given: dict[str, Any] = {}
        self._taken = TakenOver()
        #: Hooks of several calls are all used.
        self._request_hooks: list[Callable[..., Any]] = []
        self._response_hooks: list[Callable[..., Any]] = []
        self._excluded: list[str] = []
        self._hooks: list[Callable[[], None]] = []
        self._middleware: Middleware | None = None
        self._observers = Observers(())
        self._inner = app.wsgi_app
        self._wrapped: Any = None
        self._methods: dict[str, tuple[Any, Any]] = {}
        self._has_served = False

    def complete(self, given: dict[str, Any], taken: TakenOver | None) -> None:
        """Add to the instrumentation.

        Args:
            given: Arguments of `instrument_app` that were given.
            taken: What the user had given to contrib.
        """
        self._given.update(given)
        of = self._given.get
        settings = of("settings") or load_settings({}, {})
        if taken is not None:
            self._taken = taken
        for hooks, hook in (
            (self._request_hooks, self._taken.request_hook),
            (self._response_hooks, self._taken.response_hook),
            (self._request_hooks, given.get("request_hook")),
            (self._response_hooks, given.get("response_hook")),
        ):
            if hook is not None and not any(hook is known for known in hooks):
                hooks.append(hook)
        patterns = given.get("excluded_urls", settings.excluded_urls)
        if patterns and patterns not in self._excluded:
            self._excluded.append(patterns)
        tracer = trace_api.get_tracer("otelflask.http", __version__, of("tracer_provider"), schema_url=SCHEMA_URL)
        metrics = HttpMetrics.by(of("meter_provider") or get_meter_provider())
        on_fork(metrics)
        log = RequestLog(of("logger_provider") or get_logger_provider()) if settings.request_log else None
        starter = SpanStarter(tracer, settings.remote_sampling == "trust")
        signals = RequestSignals(starter, settings, metrics, log, of("views"))
        observers: Sequence[RequestObserver] = of("observers") or ()
        self._observers = Observers(
            [
                *(item for item in observers if not item.after_span),
                metrics,
                signals,
                *(item for item in observers if item.after_span),
            ]
        )
        _compare("tracer_provider", "spans", self._taken.tracer, tracer, _processor_of)
        _compare("meter_provider", "durations", self._taken.histogram, metrics.duration, consumer_of)
        parts = MiddlewareOptions(
            settings,
            self._observers,
            self._all_excluded(),
            all_of("response_hook", list(self._response_hooks)),
            of("user") or known_user,
        )
        self._add_hooks()
        if self._middleware is not None:
            self._middleware.use(parts)
            return
        self._middleware = Middleware(parts)
        wrapped = self._middleware.wrap(self._inner)
        if uwsgi.is_running():
            wrapped = _noticing_forks(wrapped)
        self._wrapped = self._app.wsgi_app = wrapped  # type: ignore[method-assign,assignment]
        for name in _HANDLERS:
            self._wrap_handler(name)
        self._wrap_preprocessing()

    def _all_excluded(self) -> AnyOf | None:
        lists = [parse_excluded_urls(patterns) for patterns in self._excluded]
        if self._taken.excluded_urls is not None:
            lists.append(self._taken.excluded_urls)
        return AnyOf(*lists) if lists else None

    def _add_hooks(self) -> None:
        """Add the request hook as the first before_request, so that none of the app's can answer before it."""
        functions = self._app.before_request_funcs.setdefault(None, [])
        for hook in self._hooks:
            functions.remove(hook)
        self._hooks = []
        request_hook = all_of("request_hook", list(self._request_hooks))
        if request_hook is not None:
            self._hooks.append(_request_hook(request_hook))
        if self._given.get("enable_commenter") or self._taken.enable_commenter:
            self._hooks.append(_commenter(self._given.get("commenter_options") or self._taken.commenter_options))
        functions[:0] = self._hooks

    def _wrap_handler(self, name: str) -> None:
        """Record the exception of a request, also where a handler of the app makes an answer of it."""
        original = getattr(self._app, name)
        if name in self._app.__dict__:
            # An extension's, which tells of exceptions by Flask's signal. A signal that has a receiver costs more.
            flask.got_request_exception.connect(_signalled, self._app)

        @functools.wraps(original)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            error = args[0] if args else next(iter(kwargs.values()), None)
            if isinstance(error, Exception):
                _see(error, name == "handle_exception", self._observers)
            return original(*args, **kwargs)

        self._replace(name, wrapped)

    @guard.guarded("wrapping the handlers of exceptions")
    def _wrap_again(self) -> None:
        """Wrap what an extension, such as Flask-RESTX's `Api`, has put in the place of a handler since."""
        self._has_served = True
        for name in _HANDLERS:
            if self._app.__dict__.get(name) is not self._methods[name][0]:
                self._wrap_handler(name)

    def _wrap_preprocessing(self) -> None:
        """Note the match before anything of the app runs. A function that Flask calls with arguments costs more."""
        original = self._app.preprocess_request

        @functools.wraps(original)
        def preprocess_request(*args: Any, **kwargs: Any) -> Any:
            if not self._has_served:
                self._wrap_again()
            _note_route()
            return original(*args, **kwargs)

        self._replace("preprocess_request", preprocess_request)

    def _replace(self, name: str, wrapped: Callable[..., Any]) -> None:
        self._methods[name] = (wrapped, self._app.__dict__.get(name))
        setattr(self._app, name, wrapped)

    def surround(self, wrap: Callable[[WsgiApp], WsgiApp]) -> None:
        """Wrap the app within its middleware."""
        assert self._middleware is not None
        self._middleware.inner = wrap(self._middleware.inner)

    def undo(self) -> None:
        """Undo the instrumentation. Where something else is wrapped around it, pass requests through."""
        app = self._app
        flask.got_request_exception.disconnect(_signalled, app)
        if self._middleware is not None:
            self._middleware.off = True
        if app.wsgi_app is self._wrapped:
            app.wsgi_app = self._inner  # type: ignore[method-assign]
        for name, (wrapped, before) in self._methods.items():
            if app.__dict__.get(name) is not wrapped:
                continue
            if before is None:
                del app.__dict__[name]
            else:
                setattr(app, name, before)
        for hook in self._hooks:
            app.before_request_funcs[None].remove(hook)


def _noticing_forks(wsgi_app: WsgiApp) -> WsgiApp:
    """Wrap the app for a server that forks in C, where an app may have replaced the hook that tells of it."""

    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        notice()
        return wsgi_app(environ, start_response)

    return application


def _processor_of(tracer: Any) -> Any:
    return getattr(tracer, "span_processor", None)


def _compare(option: str, what: str, contribs: Any, ours: Any, where: Callable[[Any], Any]) -> None:
    """Log that a part of a request's telemetry goes elsewhere from now on.

    Args:
        option: The provider's name.
        what: What comes from it.
        contribs: What contrib had of it.
        ours: What otelflask has.
        where: Returns where one of them sends.
    """
    before, now = where(real_instrument(contribs)), where(real_instrument(ours))
    if before is not None and before is not now:
        guard.log(
            f"contrib:{option}",
            "FlaskInstrumentor and otelflask have different values of %s; %s of requests use otelflask's. Pass the "
            "same %s to otelflask.init to keep FlaskInstrumentor's",
            option,
            what,
            option,
        )


@guard.guarded("recording an exception")
def _see(error: Exception, unhandled: bool, observers: Observers) -> None:
    """Record an exception of the current request.

    Args:
        error: The exception.
        unhandled: Whether no error handler of the app handles it.
        observers: Notified where none does.
    """
    record = current_record()
    if record is None or (record.unhandled and record.error is error):
        # An extension's handler, with ours around it and within.
        return
    if unhandled:
        record.unhandled = True
    elif _is_an_answer(error):
        return
    record.error = error
    if unhandled:
        observers.failed(record, error)


@guard.guarded("receiving the signal of an exception")
def _signalled(sender: Any, exception: Any = None, **signal: Any) -> None:
    """Remember what an extension, such as Flask-RESTX, answers in the place of `Flask.handle_exception`.

    It sends the signal of that method, also for an HTTPException, for which Flask sends none.
    """
    record = current_record()
    if record is not None and isinstance(exception, Exception) and not isinstance(exception, HTTPException):
        record.signalled = exception


def _is_an_answer(error: Exception) -> bool:
    """Whether it is raised as an answer, such as ``abort(404)``, or an app's own class for 201."""
    return isinstance(error, HTTPException) and isinstance(error.code, int) and error.code < 500


@guard.guarded("reading a route")
def _note_route() -> None:
    """Keep the match. Flask forgets it with the first copy of the request context that ends."""
    # Not the record's environ, of which a middleware may have made a copy for the app.
    environ = current_environ()
    record = environ.get(ENVIRON_KEY) if environ is not None else None
    if environ is not None and isinstance(record, RequestRecord) and not record.closed:
        record.route = route_of(environ)


def _request_hook(hook: Callable[..., Any]) -> Callable[[], None]:
    def before_request() -> None:
        environ = flask.request.environ
        record = environ.get(ENVIRON_KEY)
        if isinstance(record, RequestRecord):
            guard.call_hook("hook `request_hook`", hook, record.span, environ)

    return before_request


def _commenter(options: dict[str, Any]) -> Callable[[], None]:
    def before_request() -> None:
        values = {}
        if options.get("framework", True):
            values["framework"] = f"flask:{contrib.flask_version}"
        if options.get("controller", True) and flask.request.endpoint:
            values["controller"] = flask.request.endpoint
        if options.get("route", True) and flask.request.url_rule is not None:
            values["route"] = flask.request.url_rule.rule
        # Detached together with the request's own context, which is below this one.
        context_api.attach(context_api.set_value(_COMMENTER_KEY, values))

    return before_request
