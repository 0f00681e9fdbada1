"""Answers `metrics_path` in front of the app: no trace, no log line, no hook of the app's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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

from otelflask import access, guard
from otelflask.exposition.snapshot import Snapshot, taken, to_sdk
from otelflask.exposition.text import exposition
from otelflask.exposition.workers import Workers
from otelflask.lifecycle import Part
from otelflask.settings import Settings
from otelflask.shared_folder import SharedFolder
from otelflask.wsgi import StartResponse, WsgiApp, respond

_INSTRUMENTS = (Counter, UpDownCounter, Histogram, ObservableCounter, ObservableUpDownCounter, ObservableGauge)


class SnapshotReader(MetricReader):
    """Reads the meter provider when it is asked to; sums since the start, whatever the exporter prefers."""

    def __init__(self) -> None:
        super().__init__(preferred_temporality=dict.fromkeys(_INSTRUMENTS, AggregationTemporality.CUMULATIVE))
        self._data: MetricsData | None = None
        self.closed = False

    def read(self) -> MetricsData | None:
        """What there is now."""
        self.collect()
        return self._data

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        self._data = metrics_data

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """The provider ends: nothing more comes."""
        self.closed = True


class MetricsPage(Part):
    """The page of one process's apps.

    In: a folder for the workers of one server to share; what the workers of
    one app have in common; the meter provider, which has to be the SDK's; what
    masks secrets in metrics. Raises TypeError for another meter provider.
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
        resource: Resource = meter_provider._sdk_config.resource
        # What tells one worker from another is not said of all of them.
        of_service = {
            k: v for k, v in resource.attributes.items() if not k.startswith(("service.instance", "process."))
        }
        self._resource = Resource(of_service)
        self.workers = Workers(folder, service, self._take, lambda: self._reader.closed)

    def _take(self) -> Snapshot:
        data = self._reader.read()
        snapshot = taken(self._scrubbed(data) if data is not None else None)
        # The SDK forgets exemplars when they are read, and a scrape comes seldom.
        for key, series in snapshot.items():
            if key in self._last:
                series.keep_exemplars(self._last[key].exemplars)
        self._last = snapshot
        return snapshot

    def after_fork(self) -> None:
        """A child is a worker of its own."""
        self._last = {}
        self.workers.after_fork()

    def flush(self, deadline: float) -> bool:
        """Leave what this worker has counted for the others."""
        if self.workers.started:
            self.workers.write()
        return True

    def wrap(self, app: Flask, settings: Settings, wsgi_app: WsgiApp) -> WsgiApp:
        """The WSGI app with the page in front; where the app has this path itself, its own counts."""
        path = settings.metrics_path

        def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            if not self.workers.started:
                guard.call_hook("metrics page", self.workers.start)
            if environ.get("PATH_INFO") == path and environ.get("REQUEST_METHOD") in ("GET", "HEAD"):
                is_apps = any(rule.rule == path for rule in app.url_map.iter_rules())
                if not is_apps and _may_see(app, settings, environ):
                    return self._answer(environ, start_response)
            return wsgi_app(environ, start_response)

        return application

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        try:
            body, content_type = exposition(to_sdk(self.workers.all(), self._resource), environ.get("HTTP_ACCEPT", ""))
            status = "200 OK"
        except (OSError, TimeoutError) as error:
            # A scrape that fails is a gap; one of this worker alone would be counters that go back.
            guard.say("metrics page", "the other workers' metrics cannot be read: %s", error)
            body, content_type, status = b"", "text/plain; charset=utf-8", "503 Service Unavailable"
        except Exception:
            guard.say("metrics page", "the metrics cannot be shown", exc_info=True)
            body, content_type, status = b"", "text/plain; charset=utf-8", "500 Internal Server Error"
        return respond(environ, start_response, status, body, content_type)


def _may_see(app: Flask, settings: Settings, environ: dict[str, Any]) -> bool:
    if settings.metrics_token:
        return access.bears(environ, settings.metrics_token)
    return access.is_development(app, settings) or access.is_local(environ)
