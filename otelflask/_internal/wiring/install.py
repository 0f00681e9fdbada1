"""Start the process's telemetry, once, and install it into apps.

`init`, `OtelFlask`, zero-code instrumentation and tests all come here, in any order. A second call
is harmless.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Collection
from typing import Any, cast

from flask import Flask

from otelflask._internal import guard
from otelflask._internal.breaker import registry
from otelflask._internal.compat.werkzeug import before_serving
from otelflask._internal.endpoints.endpoint import Endpoints
from otelflask._internal.error_responses.handlers import answer_errors, roll_back
from otelflask._internal.error_responses.renderer import Renderer
from otelflask._internal.error_responses.success import answer_successes
from otelflask._internal.instrumentation import jobs, libraries, threads, websockets
from otelflask._internal.instrumentation.http.instrumentor import EXTENSION_KEY as HTTP_EXTENSION_KEY
from otelflask._internal.instrumentation.http.instrumentor import FlaskInstrumentor
from otelflask._internal.instrumentation.logs import capture, events
from otelflask._internal.instrumentation.logs import start as start_line
from otelflask._internal.lifecycle import ending, forks
from otelflask._internal.lifecycle.parents import is_reloader_parent
from otelflask._internal.local_output.attach import attach_console, console_style
from otelflask._internal.locks import new_lock
from otelflask._internal.settings import SettingError, Settings
from otelflask._internal.settings.libraries import DISABLED, is_disabled
from otelflask._internal.settings.loading import load as load_settings
from otelflask._internal.settings.loading import sources as setting_sources
from otelflask._internal.supported_versions import is_supported
from otelflask._internal.wiring import app_endpoints, profilers, servers, unused
from otelflask._internal.wiring.development import Development
from otelflask._internal.wiring.factory import make_telemetry
from otelflask._internal.wiring.options import PROVIDERS, Hooks, InitOptions
from otelflask._internal.wiring.telemetry import Telemetry

#: The key of an app's `AppTelemetry` in ``app.extensions``.
EXTENSION_KEY = "otelflask"
#: The key of its `Development`, which nothing else keeps alive.
DEVELOPMENT_KEY = "otelflask.development"
_NOT_SETTINGS = frozenset(Hooks.__optional_keys__)
_CALLABLE_OPTIONS = ("request_hook", "response_hook", "error_renderer", "error_fingerprint", "user", "may_monitor")

_lock = new_lock()
_telemetry: Telemetry | None = None
#: All that was started, and not withdrawn.
_started: list[Telemetry] = []


class AppTelemetry:
    """The object in ``app.extensions["otelflask"]``: the app's settings, and the telemetry that apps share."""

    def __init__(self, settings: Settings, telemetry: Telemetry, options: InitOptions) -> None:
        self.settings = settings
        #: The options of `init`.
        self.options = options
        self.telemetry = telemetry
        self.pipeline = telemetry.pipeline

    def __repr__(self) -> str:
        return f"AppTelemetry({self.settings!r})"


def install(app: Flask, options: InitOptions) -> None:
    """Install telemetry into an app, and start the process's telemetry if needed. A second call changes nothing.

    Nothing happens where telemetry is disabled, in the reloader's parent process, and with a Flask that
    is too old.

    Raises:
        SettingError: An option is unknown, its value is not allowed, or it needs an extra that is not
            installed; or the live page is on and nobody could see it.
        TypeError: The app is not a Flask app.
    """
    if not isinstance(app, Flask):
        raise TypeError(f"init takes a Flask app, not {app!r}")
    settings = {name: value for name, value in options.items() if name not in _NOT_SETTINGS}
    hooks = cast(Hooks, {name: value for name, value in options.items() if name in _NOT_SETTINGS})
    if EXTENSION_KEY in app.extensions:
        _log_ignored_options(app, options)
        return
    _check_hooks(hooks)
    effective = load_settings(settings, app.config, other_names=_NOT_SETTINGS)
    if effective.disabled or is_reloader_parent() or not is_supported("Flask") or not servers.can_send():
        return
    sources = setting_sources(settings, app.config)
    unused.tell(effective, sources)
    if is_disabled("flask"):
        guard.log(
            "disabled", "%s turns Flask off for zero code only; otelflask.init records the app's requests", DISABLED
        )
    name = app.import_name if app.import_name != "__main__" else app.name
    telemetry = start(effective, name, hooks)
    app.extensions[EXTENSION_KEY] = AppTelemetry(effective, telemetry, options)
    telemetry.apps.add(app)
    events.in_use.give(app, telemetry.events)
    registry.in_use.give(app, telemetry.breakers)
    FlaskInstrumentor.instrument_app(
        app,
        request_hook=hooks.get("request_hook"),
        response_hook=hooks.get("response_hook"),
        user=hooks.get("user"),
        **_instrument_arguments(telemetry, effective, has_live_page=False),
    )
    surround = app.extensions[HTTP_EXTENSION_KEY].surround
    profilers.profile_all_the_time(app, telemetry, effective, surround)
    endpoints = Endpoints(app_endpoints.endpoints_of(app, telemetry, effective))

    def observe() -> None:
        FlaskInstrumentor.instrument_app(app, **_instrument_arguments(telemetry, effective, has_live_page=True))

    development = Development(
        app, telemetry, effective, sources, endpoints, surround, observe, hooks.get("may_monitor")
    )
    development.complete()
    app.extensions[DEVELOPMENT_KEY] = development
    before_serving(development, "before_serving")
    app.wsgi_app = endpoints.wrap(app.wsgi_app)  # type: ignore[method-assign,assignment]
    _log_start(telemetry)
    _log_differences(telemetry, effective, sources, hooks)
    roll_back(app, hooks.get("rollback_sessions") or ())
    renderer = Renderer(effective, hooks.get("error_renderer"))
    answer_successes(app, renderer)
    if effective.error_answers:
        answer_errors(app, renderer)


def instrument_new_apps(settings: Settings, service_name: str) -> None:
    """Zero-code instrumentation: start the process's telemetry, and record the requests of each new app."""
    if not servers.can_send():
        return
    telemetry = start(settings, service_name, {})
    if attach_console(telemetry.pipeline, console_style(settings, debug=False)):
        telemetry.made_with["log_console"] = settings.log_console
    _log_start(telemetry)
    if is_disabled("flask"):
        guard.log("disabled:flask", "%s turns off what otelflask records of requests", DISABLED)
    else:
        FlaskInstrumentor().instrument(**_instrument_arguments(telemetry, settings, has_live_page=False))


def _log_start(telemetry: Telemetry) -> None:
    """Log the start once, when all outputs are attached."""
    if not telemetry.has_logged_start:
        telemetry.has_logged_start = True
        with guard.log_errors("start", "the start cannot be logged"):
            start_line.log_start(telemetry.pipeline.logger_provider, telemetry.pipeline.resource)


def _instrument_arguments(telemetry: Telemetry, settings: Settings, has_live_page: bool) -> dict[str, Any]:
    """The arguments of `FlaskInstrumentor.instrument_app`."""
    pipeline = telemetry.pipeline
    return {
        "tracer_provider": pipeline.tracer_provider,
        "meter_provider": pipeline.meter_provider,
        "logger_provider": pipeline.logger_provider,
        "settings": settings,
        "observers": telemetry.observers_of(has_live_page),
        "views": telemetry.views,
    }


def _check_hooks(hooks: Hooks) -> None:
    for name in _CALLABLE_OPTIONS:
        hook = hooks.get(name)
        if hook is not None and not callable(hook):
            raise SettingError(f"{name} is {hook!r}; allowed is a function")


def _log_ignored_options(app: Flask, options: InitOptions) -> None:
    first_options: dict[str, Any] = dict(getattr(app.extensions[EXTENSION_KEY], "options", {}))
    names = [name for name, value in options.items() if value not in (None, ()) and value != first_options.get(name)]
    if names:
        guard.log(
            f"again:{app.name}",
            "otelflask.init was called again for app %r and ignores %s: pass them to the first call",
            app.name,
            ", ".join(sorted(names)),
        )


def start(settings: Settings, service_name: str, hooks: Hooks) -> Telemetry:
    """Start the process's telemetry, which all apps share. With the caller's own providers, always start a new one.

    The first one that is started is the process's.

    Args:
        settings: The settings.
        service_name: The service's name, unless a setting gives one.
        hooks: Options of `init` that are not settings.

    Returns:
        The telemetry for the app.

    Raises:
        SettingError: An option's value is not allowed, or it needs an extra that is not installed.
    """
    global _telemetry
    with _lock:
        has_own_providers = any(hooks.get(name) is not None for name in PROVIDERS)
        if _telemetry is not None and not has_own_providers:
            # What one more app wants masked is masked everywhere.
            _telemetry.pipeline.scrubber.add(settings.redact_names.split(","), settings.redact_patterns.split())
            return _telemetry
        servers.prepare(_end_before_signal, _leave_to_child)
        telemetry = make_telemetry(settings, service_name, hooks)
        forks.on_fork(telemetry)
        ending.register(telemetry)
        _telemetry = _telemetry or telemetry
        _started.append(telemetry)
        return telemetry


def _log_differences(telemetry: Telemetry, settings: Settings, given: Collection[str], hooks: Hooks) -> None:
    """Log the options of an app that the process has already set to other values."""
    scrubber = telemetry.pipeline.scrubber
    differences = []
    for name, known in telemetry.made_with.items():
        wanted = getattr(settings, name)
        if name in given and wanted != known:
            differences.append(
                f"{name}={scrubber.value(name, wanted)!r} (the process has {scrubber.value(name, known)!r})"
            )
    if telemetry.settings is not settings and hooks.get("error_fingerprint") is not None:
        differences.append("error_fingerprint")
    if differences:
        guard.log(
            f"joined:{differences}",
            "ignored, because the process's first app (or zero-code instrumentation) has set them: %s; set them there",
            ", ".join(differences),
        )
    if "environment" in given and settings.environment != telemetry.settings.environment:
        guard.log(
            f"environment:{settings.environment}",
            "environment=%r only decides which endpoints of this app are open in development; the resource keeps %r",
            settings.environment,
            telemetry.settings.environment,
        )


def withdraw(logger_provider: Any) -> None:
    """Undo what was started with a provider, so that the next test starts from nothing."""
    global _telemetry
    with _lock:
        withdrawn = [item for item in _started if item.pipeline.logger_provider is logger_provider]
        _started[:] = [item for item in _started if item.pipeline.logger_provider is not logger_provider]
        for telemetry in withdrawn:
            ending.unregister(telemetry)
            # Its threads end.
            telemetry.pipeline.abandon()
        if _telemetry is not None and _telemetry.pipeline.logger_provider is logger_provider:
            events.in_use.withdraw(_telemetry.events)
            registry.in_use.withdraw(_telemetry.breakers)
            _telemetry = None
    capture.uninstall_all(logger_provider)
    instrumentor = sys.modules.get("otelflask._internal.instrumentation.database.instrumentor")
    if instrumentor is not None and instrumentor.SQLAlchemyInstrumentor().is_instrumented_by_opentelemetry:
        instrumentor.SQLAlchemyInstrumentor().uninstrument()
    libraries.uninstrument()
    jobs.uninstrument()
    threads.uninstrument()
    websockets.uninstrument()


@guard.guarded("ending with a server")
def _end_before_signal() -> None:
    """End telemetry where the process is about to end by a signal that nobody handles."""
    if threading.current_thread() is threading.main_thread() and not ending.is_sigterm_handled():
        for telemetry in list(_started):
            telemetry.shutdown()


@guard.guarded("leaving telemetry to another process")
def _leave_to_child() -> None:
    """End the process's telemetry without sending: this process only starts the one that serves."""
    with _lock:
        for telemetry in _started:
            ending.unregister(telemetry)
            telemetry.pipeline.abandon()


def flush(timeout: float | None = None) -> bool:
    """Send the process's telemetry now, for example before an ``os._exit``.

    Telemetry of an app that was started later with its own providers is not included.

    Args:
        timeout: Seconds to wait (default: the setting `shutdown_timeout`).

    Returns:
        True if everything was sent, or refused, before the timeout. Also True before `init`.
    """
    return _telemetry.flush(timeout) if _telemetry is not None else True


def shutdown(timeout: float | None = None) -> None:
    """Flush and end the process's telemetry.

    Args:
        timeout: Seconds to wait (default: the setting `shutdown_timeout`).
    """
    if _telemetry is not None:
        _telemetry.shutdown(timeout)
