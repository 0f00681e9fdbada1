"""Our Flask instrumentor, in place of OpenTelemetry's. It accepts the same arguments.

``docs/requests.md`` lists the faults of the stock instrumentor that this one does not have, and
``tests/unit/instrumentation/http/test_stock_defects.py`` shows them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any

import flask

from otelflask._internal import guard
from otelflask._internal.compat.otel_instrumentation import FlaskInstrumentorBase, InstrumentedFlask, is_marked, mark
from otelflask._internal.instrumentation.http.contrib import TakenOver, take_over
from otelflask._internal.instrumentation.http.instrumented_app import InstrumentedApp
from otelflask._internal.instrumentation.http.views import RequestViews
from otelflask._internal.observers import RequestObserver
from otelflask._internal.settings import Settings
from otelflask._internal.supported_versions import OLDEST, is_supported

#: The key of an app's instrumentation in ``app.extensions``.
EXTENSION_KEY = "otelflask.http"
#: Flask's own class: contrib replaces it by one of its own.
_Flask = flask.app.Flask


class FlaskInstrumentor(FlaskInstrumentorBase):
    """Instruments Flask apps.

    `instrument()` covers every app that is made afterwards, even if a module imported the class `Flask`
    before. `instrument_app(app)` covers an existing app. Both take the arguments of OpenTelemetry's
    `FlaskInstrumentor`: ``request_hook(span, environ)``, ``response_hook(span, status, headers)``,
    ``tracer_provider``, ``meter_provider``, ``excluded_urls``, ``enable_commenter``,
    ``commenter_options``. Both also take ``logger_provider``, and ``user``, which returns the user of the
    current request. The arguments ``settings``, ``observers`` and ``views`` are for otelflask itself.

    An app that OpenTelemetry's instrumentor has instrumented before is taken over, with its hooks.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        return (f"flask >= {OLDEST['Flask']}",)

    def instrument(self, **kwargs: Any) -> None:
        """Instrument every app that is made afterwards. A second call adds its arguments."""
        # Contrib's loader passes these. An unknown argument would be an error of each new app.
        options = ("skip_dep_check", "raise_exception_on_conflict")
        unknown = [name for name in kwargs if name not in (*_ARGUMENTS, *options)]
        if unknown:
            guard.log("instrument", "FlaskInstrumentor.instrument does not know %s", ", ".join(unknown))
        kwargs = {name: value for name, value in kwargs.items() if name not in unknown}
        if self.is_instrumented_by_opentelemetry:
            self._given.append({name: value for name, value in kwargs.items() if name not in options})
        elif is_supported("Flask"):
            super().instrument(**kwargs)

    def _instrument(self, **kwargs: Any) -> None:
        self._given = [kwargs]
        # Contrib's class wraps the app once more after ours.
        self._originals = {kind: kind.__init__ for kind in (_Flask, InstrumentedFlask)}
        for kind, original in self._originals.items():
            kind.__init__ = self._instrumenting(original)  # type: ignore[method-assign]

    def _instrumenting(self, original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def initialised(app: flask.Flask, *args: Any, **options: Any) -> None:
            original(app, *args, **options)
            for given in self._given:
                self.instrument_app(app, **given)

        return initialised

    def _uninstrument(self, **kwargs: Any) -> None:
        for kind, original in self._originals.items():
            kind.__init__ = original  # type: ignore[method-assign]

    @staticmethod
    def instrument_app(
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
        user: Callable[[], object] | None = None,
        observers: Sequence[RequestObserver] | None = None,
        views: RequestViews | None = None,
    ) -> None:
        """Instrument one app. A second call adds its arguments: hooks to hooks, excluded URLs to excluded URLs.

        `enable_commenter` adds the route and the view's name to each SQL statement, as a comment
        (sqlcommenter). It is off by default, as with SQLAlchemy; OpenTelemetry has it on, for Flask only.
        """
        if not is_supported("Flask"):
            return
        given = {name: value for name, value in locals().items() if not (value is None or value is False)}
        del given["app"]
        taken = _take_over(app)
        known = app.extensions.get(EXTENSION_KEY)
        if known is None:
            known = app.extensions[EXTENSION_KEY] = InstrumentedApp(app)
            mark(app, True)
        known.complete(given, taken)

    @staticmethod
    def uninstrument_app(app: flask.Flask) -> None:
        """Undo `instrument_app`."""
        known = app.extensions.pop(EXTENSION_KEY, None)
        if known is not None:
            known.undo()
            mark(app, False)


#: The arguments of `instrument_app` that `instrument` takes too.
_ARGUMENTS = frozenset(inspect.signature(FlaskInstrumentor.instrument_app).parameters) - {"app"}


@guard.guarded("replacing the stock instrumentation")
def _take_over(app: flask.Flask) -> TakenOver | None:
    return take_over(app) if is_marked(app) else None
