"""Gives an app its telemetry: wires the rooms, in order. Only this module, `process` and `fronts` know them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from flask import Flask

from otelflask import fronts, guard
from otelflask.circuits import telemetry as breakers
from otelflask.errors.handling import answer_errors, roll_back
from otelflask.errors.making import Fingerprint
from otelflask.errors.rendering import ErrorRenderer, Renderer
from otelflask.http.instrumentor import FlaskInstrumentor
from otelflask.loading import load as load_settings
from otelflask.loading import sources as setting_sources
from otelflask.logs import events, output
from otelflask.pipeline.providers import Pipeline
from otelflask.process import is_reloader_parent, start
from otelflask.settings import Settings
from otelflask.versions import is_supported

EXTENSION_KEY = "otelflask"
_NO_OPTIONS = frozenset({"app", "settings", "extension"})


@dataclass
class AppState:
    """What lies in ``app.extensions["otelflask"]``."""

    settings: Settings
    pipeline: Pipeline


def _is_nothing(value: Any) -> bool:
    return value is None or value == ()


class OtelFlask:
    """The extension in Flask's usual form.

    In: optionally an app (as with ``init_app``), providers and hooks, and
    any setting by its name as a keyword argument.
    """

    def __init__(self, app: Flask | None = None, **options: Any) -> None:
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Give the app telemetry; a second call changes nothing.

        Raises SettingError when a setting is not allowed.
        """
        init(app, **self._options)


def init(
    app: Flask,
    *,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    logger_provider: Any = None,
    request_hook: Callable[..., Any] | None = None,
    response_hook: Callable[..., Any] | None = None,
    error_renderer: Renderer | None = None,
    error_fingerprint: Fingerprint | None = None,
    rollback_sessions: Iterable[Any] = (),
    user: Callable[[], object] | None = None,
    may_monitor: Callable[[dict[str, Any]], bool] | None = None,
    **settings: Any,
) -> OtelFlask:
    """Give the app spans, metrics and logs that leave as OTLP.

    In: the app; optionally providers of the OpenTelemetry SDK (default: the
    ones set globally, else new ones by the ``OTEL_*`` variables); hooks
    ``request_hook(span, environ)`` and ``response_hook(span, status,
    headers)``; ``error_renderer(problem)``, which makes the body of an error
    that is not answered by a page; ``error_fingerprint(exception)``, which
    says as a list of texts which reports are one group, or None for the
    default; sessions (such as a ``scoped_session``) that are
    rolled back after an unhandled error, besides Flask-SQLAlchemy's;
    ``user()``, which says who makes the current request (default:
    Flask-Login's user, where the app has asked for it), or None;
    ``may_monitor(environ)``, which says of a request whether it may see the
    live page, where `monitor` is ``on``; and any setting of `otelflask.settings.Settings` by its name.
    Raises SettingError (a ValueError) for a setting that is not allowed.
    """
    extension = OtelFlask()
    if EXTENSION_KEY in app.extensions:
        given = {**locals(), **settings}
        ignored = [name for name in sorted(given) if name not in _NO_OPTIONS and not _is_nothing(given[name])]
        if ignored:
            guard.say(
                f"again:{app.name}",
                "otelflask.init was called again for app %r, and ignores %s: give them to its first call",
                app.name,
                ", ".join(ignored),
            )
        return extension
    in_force = load_settings(settings, app.config)
    if in_force.disabled or is_reloader_parent() or not is_supported("Flask"):
        return extension
    process = start(
        in_force,
        app.import_name if app.import_name != "__main__" else app.name,
        tracer_provider,
        meter_provider,
        logger_provider,
        error_fingerprint,
    )
    pipeline = process.pipeline
    app.extensions[EXTENSION_KEY] = AppState(in_force, pipeline)
    app.extensions[events.EXTENSION_KEY] = process.events
    app.extensions[breakers.EXTENSION_KEY] = process.breakers
    show_profiles = fronts.surround(app, process, in_force)
    gate = fronts.watch(app, process, in_force, may_monitor)
    FlaskInstrumentor.instrument_app(
        app,
        request_hook=request_hook,
        response_hook=response_hook,
        tracer_provider=pipeline.tracer_provider,
        meter_provider=pipeline.meter_provider,
        logger_provider=pipeline.logger_provider,
        settings=in_force,
        reports=process.reports,
        find_user=user,
        seen_user=process.users.seen if process.users is not None else None,
        seen_request=process.monitor.ring.request if gate is not None and process.monitor is not None else None,
    )
    app.wsgi_app = show_profiles(app.wsgi_app)  # type: ignore[method-assign,assignment]
    fronts.answer(app, process, in_force)
    if gate is not None:
        fronts.show_monitor(app, process, in_force, setting_sources(settings, app.config), gate)
    output.attach_console(pipeline, output.console_style(in_force, app.debug))
    roll_back(app, rollback_sessions)
    if in_force.error_answers:
        answer_errors(app, ErrorRenderer(in_force, error_renderer))
    return extension
