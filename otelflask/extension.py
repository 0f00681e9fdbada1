"""Wires the rooms, in order. Only this module knows them all."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask.logging import default_handler

from otelflask import libraries, lifecycle
from otelflask.circuits import telemetry as breakers
from otelflask.errors.emission import Report
from otelflask.errors.engine import SentryFlush
from otelflask.errors.handling import answer_errors, roll_back
from otelflask.errors.making import Fingerprint, ReportMaker
from otelflask.errors.rendering import ErrorRenderer, Renderer
from otelflask.errors.reports import Reports
from otelflask.health import dependencies
from otelflask.health.answers import Health
from otelflask.health.checks import Check, Checks
from otelflask.http.instrumentor import FlaskInstrumentor
from otelflask.loading import load as load_settings
from otelflask.logs import capture, events, output
from otelflask.pipeline import providers
from otelflask.pipeline.providers import Pipeline
from otelflask.pipeline.state import state_folder, state_path
from otelflask.runtime import RuntimeMetrics
from otelflask.settings import SettingError, Settings
from otelflask.users import ActiveUsers

if TYPE_CHECKING:
    from otelflask.exposition.page import MetricsPage

EXTENSION_KEY = "otelflask"

_lock = threading.Lock()
_process: Process | None = None


@dataclass
class Process:
    """What there is once a process, however many apps it has."""

    settings: Settings
    pipeline: Pipeline
    #: What the processes of one service have in common.
    of_service: str
    events: events.Events
    breakers: breakers.Breakers
    runtime: RuntimeMetrics | None = None
    reports: Reports | None = None
    users: ActiveUsers | None = None
    health: Checks | None = None
    metrics: MetricsPage | None = None


@dataclass
class AppState:
    """What lies in ``app.extensions["otelflask"]``."""

    settings: Settings
    pipeline: Pipeline


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
    Flask-Login's user, where the app has asked for it), or None; and any
    setting of `otelflask.settings.Settings` by its name.
    Raises SettingError (a ValueError) for a setting that is not allowed.
    """
    extension = OtelFlask()
    if EXTENSION_KEY in app.extensions:
        return extension
    in_force = load_settings(settings, app.config)
    if in_force.disabled or _is_reloader_parent():
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
    )
    lifecycle.on_fork(app.extensions["otelflask.http"])
    if in_force.health_path:
        _answer_health(app, process, in_force)
    if in_force.metrics_path:
        _show_metrics(app, process, in_force)
    _attach_console(app, process, in_force)
    roll_back(app, rollback_sessions)
    if in_force.error_answers:
        answer_errors(app, ErrorRenderer(in_force, error_renderer))
    return extension


def _answer_health(app: Flask, process: Process, settings: Settings) -> None:
    pipeline = process.pipeline
    if process.health is None:
        process.health = Checks(_checks_of(settings, pipeline), pipeline.meter_provider)
        lifecycle.on_fork(process.health)
    resource = getattr(pipeline.logger_provider, "resource", None)
    attributes = dict(resource.attributes) if resource is not None else {}
    about = {"serviceId": attributes.get("service.name", ""), "version": attributes.get("service.version", "")}
    app.wsgi_app = Health(app, settings, process.health, about).wrap(app.wsgi_app)  # type: ignore[method-assign,assignment]


def _show_metrics(app: Flask, process: Process, settings: Settings) -> None:
    if process.metrics is None:
        pipeline = process.pipeline
        try:
            # Imported where it is wanted: it is an extra.
            from otelflask.exposition.page import MetricsPage

            process.metrics = MetricsPage(
                state_path(settings), process.of_service, pipeline.meter_provider, pipeline.scrubbed_metrics
            )
        except (ImportError, TypeError) as error:
            raise SettingError(str(error)) from None
        lifecycle.on_fork(process.metrics)
        pipeline.before_flush.append(process.metrics.flush)
    app.wsgi_app = process.metrics.wrap(app, settings, app.wsgi_app)  # type: ignore[method-assign,assignment]


def _checks_of(settings: Settings, pipeline: Pipeline) -> Callable[[], list[Check]]:
    given = [*dependencies.machine()]
    if settings.health_redis:
        given.append(dependencies.redis(settings.health_redis))
    destinations = [queue.destination for queue in pipeline.queues]
    endpoints = {item.endpoint for item in destinations if item.component_type.startswith("otlp")}
    given += [dependencies.collector(endpoint) for endpoint in sorted(endpoints)]
    databases: dict[int, Check] = {}

    def checks() -> list[Check]:
        for engine in _engines():
            databases.setdefault(id(engine), dependencies.database(engine.url.database or engine.dialect.name, engine))
        return [*databases.values(), *given]

    return checks


def _engines() -> list[Any]:
    """The engines of SQLAlchemy's that are watched, where one can ask them from a thread."""
    instrumentor = sys.modules.get("otelflask.database.instrumentor")
    telemetry = instrumentor.SQLAlchemyInstrumentor().telemetry if instrumentor is not None else None
    return [engine for engine in (telemetry.engines() if telemetry is not None else ()) if not engine.dialect.is_async]


def _attach_console(app: Flask, process: Process, settings: Settings) -> None:
    style = output.console_style(settings, app.debug)
    if style == "off":
        return
    # Flask's own would write each of the app's lines once more.
    app.logger.removeHandler(default_handler)
    output.attach_console(process.pipeline, style)


def start(
    settings: Settings,
    service_name: str,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    logger_provider: Any = None,
    error_fingerprint: Fingerprint | None = None,
) -> Process:
    """Start what there is once a process: pipeline, log capture, error reports, database, runtime metrics.

    With providers of the caller's a second app gets a process state of its
    own; otherwise all apps share the first one's.
    """
    global _process
    brought = any(provider is not None for provider in (tracer_provider, meter_provider, logger_provider))
    with _lock:
        if _process is not None and not brought:
            return _process
        if settings.mail_to or settings.state_dir:
            # Before anything is started: a folder that cannot be used is an error of the settings'.
            state_folder(settings)
        other_libraries = libraries.chosen(settings.libraries)
        providers.set_environment_defaults()
        pipeline = providers.build(settings, service_name, tracer_provider, meter_provider, logger_provider)
        of_service = f"{settings.service_name or service_name}/{settings.environment}"
        process = Process(
            settings,
            pipeline,
            of_service,
            events.Events(pipeline.logger_provider, pipeline.meter_provider),
            breakers.Breakers(pipeline.logger_provider, pipeline.meter_provider, settings.breaker_redis, of_service),
        )
        events.use(process.events)
        breakers.use(process.breakers)
        lifecycle.on_fork(process.breakers)
        if settings.console == "traces":
            from otelflask.console import attach

            attach(pipeline, sys.stderr)
        if settings.log_dir:
            output.attach_files(pipeline, settings)
        if settings.logs:
            capture.install(pipeline.logger_provider, settings.log_level)
        if settings.reports:
            tell = _start_mail(settings, pipeline) if settings.mail_to else None
            maker = ReportMaker(
                pipeline.logger_provider, pipeline.meter_provider, settings, pipeline.scrubber, error_fingerprint, tell
            )
            process.reports = Reports(pipeline.logger_provider, maker, settings)
            capture.add(process.reports)
            lifecycle.on_fork(process.reports)
            pipeline.before_flush.append(process.reports.flush)
            pipeline.senders.append(SentryFlush())
        if settings.active_users:
            process.users = ActiveUsers(pipeline.meter_provider, state_path(settings), of_service)
            lifecycle.on_fork(process.users)
        if settings.runtime_metrics:
            process.runtime = RuntimeMetrics(pipeline.meter_provider)
            lifecycle.on_fork(process.runtime)
        if settings.database:
            _start_database(settings, pipeline)
        libraries.instrument(other_libraries, pipeline)
        lifecycle.on_fork(pipeline)
        lifecycle.end_in_time(pipeline)
        if _process is None:
            _process = process
        return process


def _start_mail(settings: Settings, pipeline: Pipeline) -> Callable[[Report, int], None]:
    # Imported where it is wanted: it brings the mail and TLS modules.
    from otelflask.errors.mail import ErrorMail

    resource = getattr(pipeline.logger_provider, "resource", None)
    mail = ErrorMail(
        settings, dict(resource.attributes) if resource is not None else {}, pipeline.scrubber, pipeline.meter_provider
    )
    pipeline.senders.append(mail)
    return mail.told


def _start_database(settings: Settings, pipeline: Pipeline) -> None:
    try:
        from otelflask.database.instrumentor import SQLAlchemyInstrumentor
    except ImportError:
        # The app has no SQLAlchemy: nothing to see.
        return
    instrumentor = SQLAlchemyInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        return
    instrumentor.instrument(
        tracer_provider=pipeline.tracer_provider,
        meter_provider=pipeline.meter_provider,
        logger_provider=pipeline.logger_provider,
        settings=settings,
    )
    if instrumentor.telemetry is not None:
        lifecycle.on_fork(instrumentor.telemetry)
        plans = instrumentor.telemetry.query_watch.plans
        if plans is not None:
            pipeline.before_flush.append(plans.flush)


def _is_reloader_parent() -> bool:
    """Whether this is the process that only watches files for Flask's reloader.

    Werkzeug runs the app again in a child with ``WERKZEUG_RUN_MAIN``; a
    parent is recognised by being about to start it.
    """
    if os.environ.get("WERKZEUG_RUN_MAIN") == "true":
        return False
    program = os.path.basename(sys.argv[0]) if sys.argv else ""
    if program in ("flask", "__main__.py") and "run" in sys.argv:
        arguments = sys.argv
        if "--no-reload" in arguments:
            return False
        debug = os.environ.get("FLASK_DEBUG", "").lower() not in ("", "0", "false", "no")
        return "--reload" in arguments or "--debug" in arguments or debug
    return False


def flush(timeout: float | None = None) -> bool:
    """Send everything now, such as before an ``os._exit``.

    In: seconds to wait (default: setting `shutdown_timeout`). Out: whether
    all was tried in time; True where nothing was started.
    """
    return _process.pipeline.flush(timeout) if _process is not None else True


def shutdown(timeout: float | None = None) -> None:
    """Flush and end the process's telemetry within `timeout` seconds (default: setting `shutdown_timeout`)."""
    if _process is not None:
        _process.pipeline.shutdown(timeout)
