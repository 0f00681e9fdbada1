"""What stands in front of an app, and answers itself; and what stands around it, inside of what records requests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from flask import Flask

from otelflask.access import is_development
from otelflask.circuits import telemetry as breakers
from otelflask.health import dependencies
from otelflask.health.answers import Health
from otelflask.health.checks import Check, Checks
from otelflask.imports import is_importable
from otelflask.monitor.access import Gate, MayMonitor
from otelflask.settings import SettingError, Settings
from otelflask.shared_folder import SharedFolder
from otelflask.telemetry import Telemetry
from otelflask.wsgi import WsgiApp


def surround(app: Flask, telemetry: Telemetry, settings: Settings) -> Callable[[WsgiApp], WsgiApp]:
    """Wrap the app by what profiles it, before its requests are recorded.

    Out: what puts the kept profiles in front of it, once they are. Raises
    SettingError where a setting asks for an extra that is not installed.
    """
    if settings.pyroscope_url:
        _profile_all_the_time(app, telemetry, settings)
    if settings.profile_path and (settings.profile_token or settings.profile_share or is_development(app, settings)):
        return _profile_requests(app, telemetry, settings)
    return lambda wsgi_app: wsgi_app


def answer(app: Flask, telemetry: Telemetry, settings: Settings) -> None:
    """Put what answers itself in front of the app: health, metrics. Raises SettingError as `surround` does."""
    if settings.health_path:
        _answer_health(app, telemetry, settings)
    if settings.metrics_path:
        _show_metrics(app, telemetry, settings)


def watch(app: Flask, telemetry: Telemetry, settings: Settings, may_monitor: MayMonitor | None) -> Gate | None:
    """Begin to keep what the live page shows, where somebody may see it: who may. None where the page is off.

    Raises SettingError where the page is on and nobody could see it.
    """
    gate = Gate(app, settings, may_monitor)
    if not gate.is_on:
        return None
    if telemetry.monitor is None:
        # Imported where it is wanted: it brings SQLite.
        from otelflask.monitor.process import Monitor

        def facts() -> dict[str, Any]:
            checks = telemetry.health.all() if telemetry.health is not None else []
            outcomes = [(item.name, item.last) for item in checks]
            return {
                "health": [
                    {"name": name, "state": last.status, "output": last.output} for name, last in outcomes if last
                ],
                "breakers": breakers.states(),
            }

        folder = SharedFolder.of(settings)
        telemetry.monitor = Monitor(
            telemetry.pipeline, folder, telemetry.service, settings.monitor_size, telemetry.metrics.active, facts
        )
        telemetry.parts.append(telemetry.monitor)
    return gate


def show_monitor(app: Flask, telemetry: Telemetry, settings: Settings, sources: Mapping[str, str], gate: Gate) -> None:
    """Put the live page in front of the app. In: where its settings come from, and who may see it."""
    assert telemetry.monitor is not None
    service = str(telemetry.resource.get("service.name") or app.name)
    page = telemetry.monitor.page(gate, settings, sources, service)
    app.wsgi_app = page.wrap(app.wsgi_app)  # type: ignore[method-assign,assignment]


def _profile_requests(app: Flask, telemetry: Telemetry, settings: Settings) -> Callable[[WsgiApp], WsgiApp]:
    wanted = settings.profile_token or settings.profile_share
    if not wanted and not is_importable("pyinstrument"):
        # In development it is there for who has installed the extra.
        return lambda wsgi_app: wsgi_app
    try:
        from otelflask.profiling.request import RequestProfiler, Turn
        from otelflask.profiling.store import ProfileStore
    except ImportError as error:
        raise SettingError(str(error)) from None
    if telemetry.profiles is None:
        telemetry.profiles = Turn()
        telemetry.parts.append(telemetry.profiles)
    store = ProfileStore(SharedFolder.of(settings), settings.profile_count)
    profiler = RequestProfiler(app, settings, store, telemetry.profiles)
    app.wsgi_app = profiler.wrap(app.wsgi_app)  # type: ignore[method-assign,assignment]
    return profiler.show


def _profile_all_the_time(app: Flask, telemetry: Telemetry, settings: Settings) -> None:
    if telemetry.pyroscope is None:
        try:
            from otelflask.profiling.continuous import ContinuousProfiler
        except ImportError as error:
            raise SettingError(str(error)) from None
        resource = telemetry.resource
        names = ("service.version", "deployment.environment.name")
        tags = {name.replace(".", "_"): str(resource[name]) for name in names if resource.get(name)}
        name = str(resource.get("service.name") or app.name)
        telemetry.pyroscope = ContinuousProfiler(settings.pyroscope_url, name, tags)
        telemetry.parts.append(telemetry.pyroscope)
    app.wsgi_app = telemetry.pyroscope.wrap(app.wsgi_app)  # type: ignore[method-assign,assignment]


def _answer_health(app: Flask, telemetry: Telemetry, settings: Settings) -> None:
    pipeline = telemetry.pipeline
    if telemetry.health is None:
        telemetry.health = Checks(_checks_of(settings, telemetry), pipeline.meter_provider)
        telemetry.parts.append(telemetry.health)
    resource = telemetry.resource
    about = {"serviceId": resource.get("service.name", ""), "version": resource.get("service.version", "")}
    app.wsgi_app = Health(app, settings, telemetry.health, about).wrap(app.wsgi_app)  # type: ignore[method-assign,assignment]


def _show_metrics(app: Flask, telemetry: Telemetry, settings: Settings) -> None:
    if telemetry.metrics_page is None:
        pipeline = telemetry.pipeline
        try:
            # Imported where it is wanted: it is an extra.
            from otelflask.exposition.page import MetricsPage

            telemetry.metrics_page = MetricsPage(
                SharedFolder.of(settings), telemetry.service, pipeline.meter_provider, pipeline.scrubbed_metrics
            )
        except (ImportError, TypeError) as error:
            raise SettingError(str(error)) from None
        telemetry.parts.append(telemetry.metrics_page)
    app.wsgi_app = telemetry.metrics_page.wrap(app, settings, app.wsgi_app)  # type: ignore[method-assign,assignment]


def _checks_of(settings: Settings, telemetry: Telemetry) -> Callable[[], list[Check]]:
    given = [*dependencies.machine()]
    if settings.health_redis:
        given.append(dependencies.redis(settings.health_redis))
    destinations = [queue.destination for queue in telemetry.pipeline.queues]
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
