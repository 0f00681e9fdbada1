"""What stands in front of an app, and answers itself; and what stands around it, inside of what records requests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from flask import Flask

from otelflask import lifecycle
from otelflask.access import is_development
from otelflask.circuits import telemetry as breakers
from otelflask.health import dependencies
from otelflask.health.answers import Health
from otelflask.health.checks import Check, Checks
from otelflask.imports import is_importable
from otelflask.monitor.access import Gate, MayMonitor
from otelflask.pipeline.state import state_path
from otelflask.process import Process
from otelflask.settings import SettingError, Settings
from otelflask.wsgi import WsgiApp


def surround(app: Flask, process: Process, settings: Settings) -> Callable[[WsgiApp], WsgiApp]:
    """Wrap the app by what profiles it, before its requests are recorded.

    Out: what puts the kept profiles in front of it, once they are. Raises
    SettingError where a setting asks for an extra that is not installed.
    """
    if settings.pyroscope_url:
        _profile_all_the_time(app, process, settings)
    if settings.profile_path and (settings.profile_token or settings.profile_share or is_development(app, settings)):
        return _profile_requests(app, settings)
    return lambda wsgi_app: wsgi_app


def answer(app: Flask, process: Process, settings: Settings) -> None:
    """Put what answers itself in front of the app: health, metrics. Raises SettingError as `surround` does."""
    if settings.health_path:
        _answer_health(app, process, settings)
    if settings.metrics_path:
        _show_metrics(app, process, settings)


def watch(app: Flask, process: Process, settings: Settings, may_monitor: MayMonitor | None) -> Gate | None:
    """Begin to keep what the live page shows, where somebody may see it: who may. None where the page is off.

    Raises SettingError where the page is on and nobody could see it.
    """
    gate = Gate(app, settings, may_monitor)
    if not gate.is_on:
        return None
    if process.monitor is None:
        # Imported where it is wanted: it brings SQLite.
        from otelflask.monitor.process import Monitor

        def facts() -> dict[str, Any]:
            checks = process.health.all() if process.health is not None else []
            outcomes = [(item.name, item.last) for item in checks]
            return {
                "health": [
                    {"name": name, "state": last.status, "output": last.output} for name, last in outcomes if last
                ],
                "breakers": breakers.states(),
            }

        folder = state_path(settings)
        process.monitor = Monitor(process.pipeline, folder, process.of_service, settings.monitor_size, facts)
        lifecycle.on_fork(process.monitor)
    return gate


def show_monitor(app: Flask, process: Process, settings: Settings, sources: Mapping[str, str], gate: Gate) -> None:
    """Put the live page in front of the app. In: where its settings come from, and who may see it."""
    assert process.monitor is not None
    service = str(process.resource.get("service.name") or app.name)
    page = process.monitor.page(gate, settings, sources, service, app.extensions["otelflask.http"].metrics.active)
    app.wsgi_app = page.wrap(app.wsgi_app)  # type: ignore[method-assign,assignment]


def _profile_requests(app: Flask, settings: Settings) -> Callable[[WsgiApp], WsgiApp]:
    wanted = settings.profile_token or settings.profile_share
    if not wanted and not is_importable("pyinstrument"):
        # In development it is there for who has installed the extra.
        return lambda wsgi_app: wsgi_app
    try:
        from otelflask.profiling.request import RequestProfiler
        from otelflask.profiling.store import ProfileStore
    except ImportError as error:
        raise SettingError(str(error)) from None
    profiler = RequestProfiler(app, settings, ProfileStore(state_path(settings), settings.profile_count))
    # The app holds it: what is put right after a fork is held weakly.
    app.extensions["otelflask.profiler"] = profiler
    lifecycle.on_fork(profiler)
    app.wsgi_app = profiler.wrap(app.wsgi_app)  # type: ignore[method-assign,assignment]
    return profiler.show


def _profile_all_the_time(app: Flask, process: Process, settings: Settings) -> None:
    if process.pyroscope is None:
        try:
            from otelflask.profiling.continuous import ContinuousProfiler
        except ImportError as error:
            raise SettingError(str(error)) from None
        resource = process.resource
        names = ("service.version", "deployment.environment.name")
        tags = {name.replace(".", "_"): str(resource[name]) for name in names if resource.get(name)}
        name = str(resource.get("service.name") or app.name)
        process.pyroscope = ContinuousProfiler(settings.pyroscope_url, name, tags)
        lifecycle.on_fork(process.pyroscope)
    app.wsgi_app = process.pyroscope.wrap(app.wsgi_app)  # type: ignore[method-assign,assignment]


def _answer_health(app: Flask, process: Process, settings: Settings) -> None:
    pipeline = process.pipeline
    if process.health is None:
        process.health = Checks(_checks_of(settings, process), pipeline.meter_provider)
        lifecycle.on_fork(process.health)
    resource = process.resource
    about = {"serviceId": resource.get("service.name", ""), "version": resource.get("service.version", "")}
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


def _checks_of(settings: Settings, process: Process) -> Callable[[], list[Check]]:
    given = [*dependencies.machine()]
    if settings.health_redis:
        given.append(dependencies.redis(settings.health_redis))
    destinations = [queue.destination for queue in process.pipeline.queues]
    endpoints = {item.endpoint for item in destinations if item.component_type.startswith("otlp")}
    given += [dependencies.collector(endpoint) for endpoint in sorted(endpoints)]
    known: WeakKeyDictionary[Any, Check] = WeakKeyDictionary()

    def check_of(engine: Any) -> Check:
        return known.setdefault(engine, dependencies.database(engine.url.database or engine.dialect.name, engine))

    def checks() -> list[Check]:
        return [*map(check_of, _engines()), *given]

    return checks


def _engines() -> list[Any]:
    """The engines of SQLAlchemy's that are watched, where one can ask them from a thread."""
    instrumentor = sys.modules.get("otelflask.database.instrumentor")
    telemetry = instrumentor.SQLAlchemyInstrumentor().telemetry if instrumentor is not None else None
    return [engine for engine in (telemetry.engines() if telemetry is not None else ()) if not engine.dialect.is_async]
