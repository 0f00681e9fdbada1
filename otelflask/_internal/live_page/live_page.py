"""The parts of the live page that a process has once, however many apps it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask

from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.lifecycle.component import Component
from otelflask._internal.live_page.collect.file import MonitorFile
from otelflask._internal.live_page.collect.publisher import Publisher
from otelflask._internal.live_page.collect.ring import Ring
from otelflask._internal.live_page.collect.store import MonitorStore
from otelflask._internal.live_page.collect.worker_stats import WorkerStats
from otelflask._internal.live_page.show.development_server import leave_out_lines_of
from otelflask._internal.live_page.show.endpoint import MonitorEndpoint
from otelflask._internal.live_page.show.gate import Gate
from otelflask._internal.live_page.show.repository import Repository
from otelflask._internal.live_page.show.runtime import Runtime
from otelflask._internal.live_page.show.statements import Statements
from otelflask._internal.live_page.show.views import Profiles, Views
from otelflask._internal.settings import Settings
from otelflask._internal.shared_folder import SharedFolder

#: Seconds from which a request is slow.
SLOW_S = 1.0


class LivePage(Component):
    """Collects what the providers see, and makes the pages of apps.

    Args:
        pipeline: The pipeline.
        folder: A folder of this user.
        service: What the workers of one app have in common.
        size: How many spans and log lines are kept.
        active: Returns the number of active requests.
        facts: Returns the outcomes of health checks and the states of circuit breakers.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        folder: SharedFolder,
        service: str,
        size: int,
        active: Callable[[], int],
        facts: Callable[[], dict[str, Any]],
    ) -> None:
        self._scrubber = pipeline.scrubber
        self.ring = Ring(size, size, SLOW_S, pipeline.handover.drain)
        self._folder = folder
        self._file = MonitorFile(folder, service)
        self.publisher = Publisher(
            self.ring,
            WorkerStats(active, pipeline.queues, pipeline.scrubber, facts),
            MonitorStore(self._file, int(SLOW_S * 1e9)),
        )
        pipeline.watch(self.ring.take_span, self.ring.take_record, self.ring.end)

    def endpoint(
        self,
        app: Flask,
        gate: Gate,
        settings: Settings,
        sources: Mapping[str, str],
        service: str,
        profiles: Profiles | None,
        health_status: Callable[[], str],
    ) -> MonitorEndpoint:
        """The page of one app.

        Args:
            app: The app.
            gate: Decides who may see it.
            settings: The app's settings.
            sources: Where the settings come from.
            service: The service's name.
            profiles: The stored profiles; None where no request is profiled.
            health_status: Runs the app's health checks, and returns ``pass``, ``warn`` or ``fail``.
        """
        leave_out_lines_of(settings.monitor_path)
        views = Views(
            Repository(self._file),
            Statements(self._file, int(settings.slow_query_threshold * 1e9)),
            Runtime(settings, sources, self._scrubber, self._folder.path),
            profiles,
            settings.grafana_url.rstrip("/"),
        )
        return MonitorEndpoint(
            app, settings.monitor_path, service, gate, views, self.publisher, settings.timestamp_format, health_status
        )

    def after_fork(self) -> None:
        # The ring is an observer, and reset as one.
        self.publisher.after_fork()

    def flush(self, deadline: float) -> bool:
        """Publish what this worker has seen, for as long as its server lives."""
        self.publisher.flush()
        return True
