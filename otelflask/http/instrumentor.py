"""Our Flask instrumentor: stands where contrib's stands, and accepts what it accepts.

What the stock one gets wrong and this one does not is listed in
``docs/requests.md``, and shown by ``tests/unit/http/test_stock_defects.py``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any

import flask
from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry._logs import get_logger_provider
from opentelemetry.instrumentation import flask as contrib
from opentelemetry.metrics import get_meter_provider
from opentelemetry.util.http import parse_excluded_urls
from werkzeug.exceptions import HTTPException

from otelflask import guard
from otelflask.http.attributes import route_of
from otelflask.http.login import user_of_flask_login
from otelflask.http.metrics import SCHEMA_URL, HttpMetrics
from otelflask.http.middleware import Middleware, Reports
from otelflask.http.record import ENVIRON_KEY, RequestRecord, current_record
from otelflask.http.request_log import RequestLog
from otelflask.loading import load as load_settings
from otelflask.pipeline.spans import SpanStarter
from otelflask.settings import Settings
from otelflask.version import __version__

_COMMENTER_KEY = "SQLCOMMENTER_ORM_TAGS_AND_VALUES"


class FlaskInstrumentor(contrib.FlaskInstrumentor):
    """Instruments Flask apps.

    `instrument()` covers every app made afterwards, whichever reference to
    the class it is made by; `instrument_app(app)` one that exists. Both take
    contrib's arguments: ``request_hook(span, environ)``,
    ``response_hook(span, status, headers)``, ``tracer_provider``,
    ``meter_provider``, ``excluded_urls``, ``enable_commenter``,
    ``commenter_options``; and ours: ``logger_provider``, ``settings`` and ``reports``.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("flask >= 2.3",)

    def _instrument(self, **kwargs: Any) -> None:
        original = flask.Flask.__init__
        FlaskInstrumentor._original_init = original  # type: ignore[attr-defined]

        @functools.wraps(original)
        def initialised(app: flask.Flask, *args: Any, **options: Any) -> None:
            original(app, *args, **options)
            self.instrument_app(app, **kwargs)

        flask.Flask.__init__ = initialised  # type: ignore[method-assign]

    def _uninstrument(self, **kwargs: Any) -> None:
        flask.Flask.__init__ = FlaskInstrumentor._original_init  # type: ignore[attr-defined,method-assign]

    @staticmethod
    def instrument_app(  # type: ignore[override]
        app: flask.Flask,
        request_hook: Callable[..., Any] | None = None,
        response_hook: Callable[..., Any] | None = None,
        tracer_provider: Any = None,
        excluded_urls: str | None = None,
        enable_commenter: bool = False,
        commenter_options: dict[str, Any] | None = None,
        meter_provider: Any = None,
        logger_provider: Any = None,
        settings: Settings | None = None,
        reports: Reports | None = None,
        find_user: Callable[[], object] | None = None,
        seen_user: Callable[[str], None] | None = None,
        seen_request: Callable[[RequestRecord, str | None], None] | None = None,
    ) -> None:
        """Instrument one app; a second call changes nothing.

        `enable_commenter` is off unless asked for, as with SQLAlchemy: it puts
        route and controller into statements (contrib has it on in Flask only).
        """
        if getattr(app, "_is_instrumented_by_opentelemetry", False):
            return
        settings = settings or load_settings({}, {})
        tracer = trace_api.get_tracer("otelflask.http", __version__, tracer_provider, schema_url=SCHEMA_URL)
        request_log = RequestLog(logger_provider or get_logger_provider()) if settings.request_log else None
        metrics = HttpMetrics(meter_provider or get_meter_provider())
        patterns = settings.excluded_urls if excluded_urls is None else excluded_urls
        middleware = Middleware(
            settings,
            SpanStarter(tracer, settings.remote_sampling == "trust"),
            metrics,
            request_log,
            parse_excluded_urls(patterns) if patterns else None,
            response_hook,
            reports,
            find_user or functools.partial(user_of_flask_login, app),
            seen_user,
            seen_request,
        )
        app._original_wsgi_app = app.wsgi_app  # type: ignore[attr-defined]
        app.wsgi_app = middleware.wrap(app.wsgi_app)  # type: ignore[method-assign,assignment,arg-type]
        app.extensions["otelflask.http"] = metrics
        _watch_errors(app, reports)
        hooks = []
        if request_hook is not None:
            hooks.append(_request_hook(request_hook))
        if enable_commenter:
            hooks.append(_commenter(commenter_options or {}))
        # In front: a before_request of the app that answers must not hide the hook's request.
        app.before_request_funcs.setdefault(None, [])[:0] = hooks
        app._otelflask_hooks = hooks  # type: ignore[attr-defined]
        app._is_instrumented_by_opentelemetry = True  # type: ignore[attr-defined]

    @staticmethod
    def uninstrument_app(app: flask.Flask) -> None:
        """Take everything back that `instrument_app` did."""
        if not getattr(app, "_is_instrumented_by_opentelemetry", False):
            return
        app.wsgi_app = app._original_wsgi_app  # type: ignore[attr-defined,method-assign]
        for name in ("handle_user_exception", "handle_exception"):
            app.__dict__.pop(name, None)
        for hook in app._otelflask_hooks:  # type: ignore[attr-defined]
            app.before_request_funcs[None].remove(hook)
        app.extensions.pop("otelflask.http", None)
        app._is_instrumented_by_opentelemetry = False  # type: ignore[attr-defined]


def _watch_errors(app: flask.Flask, reports: Reports | None) -> None:
    """Keep the exception of a request, also where a handler of the app's makes an answer of it."""
    for name in ("handle_user_exception", "handle_exception"):
        original = getattr(app, name)

        def watched(error: Exception, *args: Any, _original: Any = original, _name: str = name, **kwargs: Any) -> Any:
            _see(error, _name == "handle_exception", reports)
            return _original(error, *args, **kwargs)

        setattr(app, name, functools.wraps(original)(watched))


@guard.guarded("seeing an exception")
def _see(error: Exception, unhandled: bool, reports: Reports | None) -> None:
    """In: an exception of the current request's, and whether no handler wants it."""
    record = current_record()
    if record is None:
        return
    # Flask forgets the match with the request context; an error that goes to the server has no answer.
    record.route = route_of(record.environ)
    if unhandled:
        record.unhandled = True
    elif _is_an_answer(error):
        return
    record.error = error
    if unhandled and reports is not None:
        reports.unhandled(record, error)


def _is_an_answer(error: Exception) -> bool:
    """Whether it is raised to answer, such as ``abort(404)``, or an app's own class for 201."""
    return isinstance(error, HTTPException) and isinstance(error.code, int) and error.code < 500


def _request_hook(hook: Callable[..., Any]) -> Callable[[], None]:
    def before_request() -> None:
        environ = flask.request.environ
        record = environ.get(ENVIRON_KEY)
        if isinstance(record, RequestRecord):
            guard.call_hook("request_hook", hook, record.span, environ)

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
        # Detached with the request's own context, which lies below this one.
        context_api.attach(context_api.set_value(_COMMENTER_KEY, values))

    return before_request
