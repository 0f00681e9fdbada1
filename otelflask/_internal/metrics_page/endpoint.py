"""The metrics page at `metrics_path`: the metrics of all workers of a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricReader, MetricsData
from opentelemetry.sdk.resources import Resource
from werkzeug.wrappers import Request, Response

from otelflask._internal import guard
from otelflask._internal.compat.otel_metrics import resource_of
from otelflask._internal.endpoints import access
from otelflask._internal.endpoints.endpoint import Endpoint, compressed, text_response
from otelflask._internal.lifecycle.component import Component
from otelflask._internal.metrics_page.exposition import exposition
from otelflask._internal.metrics_page.flask_names import flask_names
from otelflask._internal.metrics_page.snapshot import Snapshot, snapshot_of, to_sdk
from otelflask._internal.metrics_page.workers import SharedMetrics
from otelflask._internal.settings import SettingError, Settings
from otelflask._internal.shared_folder import SharedFolder

_INSTRUMENTS = (Counter, UpDownCounter, Histogram, ObservableCounter, ObservableUpDownCounter, ObservableGauge)


class SnapshotReader(MetricReader):
    """Reads a meter provider on demand, as sums since the start, whatever the exporter prefers."""

    def __init__(self) -> None:
        super().__init__(preferred_temporality=dict.fromkeys(_INSTRUMENTS, AggregationTemporality.CUMULATIVE))
        self._data: MetricsData | None = None
        self.closed = False

    def read(self) -> MetricsData | None:
        """The current metrics."""
        self.collect()
        return self._data

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        self._data = metrics_data

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Stop reading: the provider has ended."""
        self.closed = True


class MetricsPage(Component):
    """The metrics page of a process.

    Args:
        folder: A folder that the workers of one server share.
        service: What the workers of one app have in common.
        meter_provider: The SDK's meter provider.
        scrubbed: Masks secrets in metrics.

    Raises:
        TypeError: The meter provider is not the SDK's.
    """

    def __init__(
        self, folder: SharedFolder, service: str, meter_provider: Any, scrubbed: Callable[[MetricsData], MetricsData]
    ) -> None:
        if not hasattr(meter_provider, "add_metric_reader"):
            raise TypeError(f"metrics_path needs a meter provider of OpenTelemetry's SDK, not {meter_provider!r}")
        self._reader = SnapshotReader()
        self._scrubbed = scrubbed
        self._last: Snapshot = {}
        meter_provider.add_metric_reader(self._reader)
        resource = resource_of(meter_provider)
        # Without what differs from worker to worker.
        of_service = {
            k: v for k, v in resource.attributes.items() if not k.startswith(("service.instance", "process."))
        }
        self._resource = Resource(of_service)
        self.workers = SharedMetrics(folder, service, self._take, lambda: self._reader.closed)

    def _take(self) -> Snapshot:
        data = self._reader.read()
        snapshot = snapshot_of(self._scrubbed(data) if data is not None else None)
        # The SDK forgets exemplars when they are read, and scrapes are rare.
        for key, series in snapshot.items():
            if key in self._last:
                series.keep_exemplars(self._last[key].exemplars)
        self._last = snapshot
        return snapshot

    def shown(self, accept: str, more: Callable[[Snapshot], Snapshot]) -> tuple[bytes, str]:
        """The metrics of all workers.

        Args:
            accept: The request's Accept header.
            more: Makes metrics that are shown besides those of a snapshot.

        Returns:
            The body and its Content-Type.

        Raises:
            OSError: Another worker's metrics cannot be read.
            TimeoutError: Another scrape takes too long.
            SettingError: The folder cannot be used.
        """
        snapshot = self.workers.all()
        return exposition(to_sdk({**snapshot, **more(snapshot)}, self._resource), accept)

    def after_fork(self) -> None:
        self._last = {}
        self.workers.after_fork()

    def flush(self, deadline: float) -> bool:
        """Write this worker's last counts for the others."""
        if self.workers.started:
            self.workers.write()
        return True


class MetricsEndpoint(Endpoint):
    """The metrics page of one app.

    Args:
        app: The app.
        settings: Its settings.
        page: The page of the process.
    """

    def __init__(self, app: Flask, settings: Settings, page: MetricsPage) -> None:
        super().__init__(app, settings.metrics_path)
        self._settings = settings
        self._page = page

    @property
    def has_begun(self) -> bool:
        return self._page.workers.started

    def begin(self) -> None:
        self._page.workers.start()

    def answer(self, request: Request) -> Response | None:
        if not self._may_see(request):
            return None
        try:
            body, content_type = self._page.shown(request.headers.get("Accept", ""), self._more)
        except (OSError, TimeoutError, SettingError) as error:
            # A failed scrape is a gap. The metrics of this worker alone would look like counters that decrease.
            guard.log("metrics page", "the other workers' metrics cannot be read: %s", error)
            return text_response("", 503)
        return compressed(request, text_response(body, 200, content_type))

    def _more(self, snapshot: Snapshot) -> Snapshot:
        return flask_names(snapshot, self._app) if self._settings.metrics_flask_names else {}

    def _may_see(self, request: Request) -> bool:
        if self._settings.metrics_token:
            return access.has_token(request, self._settings.metrics_token)
        return access.is_development(self._app, self._settings) or access.is_local(request)
