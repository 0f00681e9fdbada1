"""The endpoints of an app by its settings (live page, metrics, health), and the parts that they need."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from flask import Flask

from otelflask._internal.breaker import registry
from otelflask._internal.endpoints.endpoint import Endpoint
from otelflask._internal.health import dependencies
from otelflask._internal.health.checks import PASS, Check, Checks
from otelflask._internal.health.endpoint import HealthEndpoint
from otelflask._internal.import_hooks import is_importable
from otelflask._internal.live_page.show.gate import Gate, MayMonitor
from otelflask._internal.settings import SettingError, Settings
from otelflask._internal.shared_folder import SharedFolder
from otelflask._internal.wiring.telemetry import Telemetry

if TYPE_CHECKING:
    # Imported on use, because it needs an extra.
    from otelflask._internal.profiles.endpoint import ProfilesEndpoint


def collect_for_live_page(
    app: Flask, telemetry: Telemetry, settings: Settings, may_monitor: MayMonitor | None
) -> Gate | None:
    """Begin to collect for the live page, where somebody may see it.

    Returns:
        What decides who may see it; None where the page is off.

    Raises:
        SettingError: The page is on, and nobody could see it.
    """
    gate = Gate(app, settings, may_monitor)
    if not gate.is_on:
        return None
    if telemetry.monitor is None:
        # Imported on use, because it imports SQLite.
        from otelflask._internal.live_page.live_page import LivePage

        def facts() -> dict[str, Any]:
            checks = telemetry.health.all() if telemetry.health is not None else []
            outcomes = [(item.name, item.last) for item in checks]
            return {
                "health": [
                    {"name": name, "state": last.status, "output": last.output, "at": last.at}
                    for name, last in outcomes
                    if last
                ],
                "breakers": registry.states(),
            }

        folder = SharedFolder.of(telemetry.settings)
        telemetry.made_with["monitor_size"] = settings.monitor_size
        telemetry.monitor = LivePage(
            telemetry.pipeline, folder, telemetry.service, settings.monitor_size, telemetry.metrics.active, facts
        )
        telemetry.parts.append(telemetry.monitor)
    return gate


def live_page_of(
    app: Flask,
    telemetry: Telemetry,
    settings: Settings,
    sources: Mapping[str, str],
    gate: Gate,
    profiles: ProfilesEndpoint | None,
) -> Endpoint:
    """The live page of one app.

    Args:
        app: The app.
        telemetry: The process's telemetry, with a live page.
        settings: The app's settings.
        sources: Where the settings come from.
        gate: Decides who may see it.
        profiles: The endpoint of stored profiles; None where no request is profiled.
    """

    def health_status() -> str:
        return telemetry.health.status() if telemetry.health is not None else PASS

    assert telemetry.monitor is not None
    service = str(telemetry.pipeline.resource.get("service.name") or app.name)
    return telemetry.monitor.endpoint(app, gate, settings, sources, service, profiles, health_status)


def endpoints_of(app: Flask, telemetry: Telemetry, settings: Settings) -> list[Endpoint]:
    """The metrics page and the health endpoint of one app, by its settings.

    Raises:
        SettingError: A setting needs an extra that is not installed.
    """
    found: list[Endpoint] = []
    if settings.metrics_path:
        found.append(_metrics(app, telemetry, settings))
    if settings.health_path:
        found.append(_health(app, telemetry, settings))
    return found


def _health(app: Flask, telemetry: Telemetry, settings: Settings) -> Endpoint:
    if telemetry.health is None:
        telemetry.health = Checks(_checks_of(settings, telemetry), telemetry.pipeline.meter_provider)
        telemetry.parts.append(telemetry.health)
        telemetry.made_with["health_redis"] = settings.health_redis
    resource = telemetry.pipeline.resource
    service = {"service": resource.get("service.name", ""), "version": resource.get("service.version", "")}
    return HealthEndpoint(app, settings, telemetry.health, service)


def _metrics(app: Flask, telemetry: Telemetry, settings: Settings) -> Endpoint:
    try:
        # Imported on use, because it needs an extra.
        from otelflask._internal.metrics_page.endpoint import MetricsEndpoint, MetricsPage

        if telemetry.metrics_page is None:
            pipeline = telemetry.pipeline
            folder = SharedFolder.of(telemetry.settings)
            telemetry.metrics_page = MetricsPage(
                folder, telemetry.service, pipeline.meter_provider, pipeline.scrubbed_metrics
            )
            telemetry.parts.append(telemetry.metrics_page)
    except (ImportError, TypeError) as error:
        raise SettingError(str(error)) from None
    return MetricsEndpoint(app, settings, telemetry.metrics_page)


def _checks_of(settings: Settings, telemetry: Telemetry) -> Callable[[], list[Check]]:
    given = [*dependencies.machine()]
    if settings.health_redis:
        if not is_importable("redis"):
            raise SettingError("health_redis needs the package redis: pip install otelflask[redis]")
        given.append(dependencies.redis(settings.health_redis))
    destinations = [queue.destination for queue in telemetry.pipeline.queues]
    endpoints = {item.endpoint for item in destinations if item.component_type.startswith("otlp")}
    given += dependencies.collectors(endpoints)
    known: WeakKeyDictionary[Any, Check] = WeakKeyDictionary()

    def check_of(engine: Any) -> Check:
        return known.setdefault(engine, dependencies.database(engine.url.database or engine.dialect.name, engine))

    def checks() -> list[Check]:
        return [*map(check_of, _engines()), *given]

    return checks


def _engines() -> list[Any]:
    """The app's engines, from their creation on."""
    instrumentor = sys.modules.get("otelflask._internal.instrumentation.database.instrumentor")
    telemetry = instrumentor.SQLAlchemyInstrumentor().telemetry if instrumentor is not None else None
    return telemetry.engines() if telemetry is not None else []
