"""Our Flask instrumentor: stands where contrib's stands, and accepts what it accepts.

What the stock one gets wrong and this one does not is listed in
``docs/requests.md``, and shown by ``tests/unit/http/test_stock_defects.py``.
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
from otelflask._internal.observers import RequestObserver
from otelflask._internal.settings import Settings
from otelflask._internal.supported_versions import OLDEST, is_supported

#: Where an app has what it is instrumented with.
EXTENSION_KEY = "otelflask.http"
#: Flask's own class: contrib puts one of its own into its place.
_Flask = flask.app.Flask


class FlaskInstrumentor(FlaskInstrumentorBase):
    """Instruments Flask apps.

    `instrument()` covers every app made afterwards, whichever reference to
    the class it is made by; `instrument_app(app)` one that exists. Both take
    contrib's arguments: ``request_hook(span, environ)``,
    ``response_hook(span, status, headers)``, ``tracer_provider``,
    ``meter_provider``, ``excluded_urls``, ``enable_commenter``,
    ``commenter_options``; and ours: ``logger_provider``, ``settings``,
    ``user`` and ``observers``.

    An app that contrib's instrumentor has instrumented before is taken over,
    with the hooks that it was given.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        return (f"flask >= {OLDEST['Flask']}",)

    def instrument(self, **kwargs: Any) -> None:
        """Instrument every app made afterwards; a second call adds what it is given."""
        # Contrib's loader asks for these; what nobody knows would be an error of each app that is made.
        options = ("skip_dep_check", "raise_exception_on_conflict")
        unknown = [name for name in kwargs if name not in (*_ARGUMENTS, *options)]
        if unknown:
            guard.say("instrument", "FlaskInstrumentor.instrument does not know %s", ", ".join(unknown))
        kwargs = {name: value for name, value in kwargs.items() if name not in unknown}
        if self.is_instrumented_by_opentelemetry:
            self._given.append({name: value for name, value in kwargs.items() if name not in options})
        elif is_supported("Flask"):
            super().instrument(**kwargs)

    def _instrument(self, **kwargs: Any) -> None:
        self._given = [kwargs]
        # Contrib's class wraps the app once more after ours has.
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
    ) -> None:
        """Instrument one app; a second call adds what it is given: hooks to hooks, excluded URLs to excluded URLs.

        `enable_commenter` is off unless asked for, as with SQLAlchemy: it puts
        route and controller into statements (contrib has it on in Flask only).
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
        """Take everything back that `instrument_app` did."""
        known = app.extensions.pop(EXTENSION_KEY, None)
        if known is not None:
            known.undo()
            mark(app, False)


#: Names of the arguments of `instrument_app` that `instrument` takes too.
_ARGUMENTS = frozenset(inspect.signature(FlaskInstrumentor.instrument_app).parameters) - {"app"}


@guard.guarded("taking over from contrib's instrumentation")
def _take_over(app: flask.Flask) -> TakenOver | None:
    return take_over(app) if is_marked(app) else None
