"""What there is of the live page once a process, however many apps it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask

from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.lifecycle.part import Part
from otelflask._internal.live_page.collect.file import MonitorFile
from otelflask._internal.live_page.collect.publisher import Publisher
from otelflask._internal.live_page.collect.ring import Ring
from otelflask._internal.live_page.collect.rows import Rows
from otelflask._internal.live_page.collect.store import MonitorStore
from otelflask._internal.live_page.collect.worker_stats import WorkerStats
from otelflask._internal.live_page.show.development_server import leave_out_lines_of
from otelflask._internal.live_page.show.endpoint import MonitorEndpoint
from otelflask._internal.live_page.show.gate import Gate
from otelflask._internal.live_page.show.repository import Repository
from otelflask._internal.live_page.show.runtime import Runtime
from otelflask._internal.live_page.show.views import Views
from otelflask._internal.settings import Settings
from otelflask._internal.shared_folder import SharedFolder

#: Seconds from which on a request is slow.
SLOW_S = 1.0


class LivePage(Part):
    """Sees what the providers see, and makes the pages of apps.

    In: the pipeline; a folder of this user's; what the workers of one app have in common; how many spans and log lines
    are kept; what counts the requests in flight; what gives the outcomes of health checks and the states of circuit
    breakers.
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
        self.ring = Ring(size, size, SLOW_S)
        self._file = MonitorFile(folder, service)
        self.publisher = Publisher(
            self.ring,
            Rows(pipeline.scrubber, pipeline.span_limits, pipeline.log_limits),
            WorkerStats(active, pipeline.queues, pipeline.scrubber, facts),
            MonitorStore(self._file, int(SLOW_S * 1e9)),
        )
        pipeline.tracer_provider.add_span_processor(self.ring)
        pipeline.logger_provider.add_log_record_processor(self.ring)

    def endpoint(
        self, app: Flask, gate: Gate, settings: Settings, sources: Mapping[str, str], service: str
    ) -> MonitorEndpoint:
        """The page of one app. In: who may see it, its settings and where they come from, and the service's name."""
        leave_out_lines_of(settings.monitor_path)
        views = Views(
            Repository(self._file, int(settings.slow_query_threshold * 1e9)),
            Runtime(settings, sources, self._scrubber),
            settings.grafana_url.rstrip("/"),
        )
        return MonitorEndpoint(app, settings.monitor_path, service, gate, views, self.publisher)

    def after_fork(self) -> None:
        # The ring is an observer, and told by itself.
        self.publisher.after_fork()

    def flush(self, deadline: float) -> bool:
        """What this worker has seen stays visible, where its server goes on."""
        self.publisher.flush()
        return True
