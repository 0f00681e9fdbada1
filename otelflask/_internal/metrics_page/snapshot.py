"""One worker's metrics as plain values: to JSON and back, added up, and as the SDK's objects again."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otelflask._internal.compat.otel_metrics import Exemplar

#: How the gauges of several workers are merged; the default is the maximum.
GAUGES: dict[str, Callable[..., Any]] = {"otelflask.health.check": min}
#: Metrics of the whole machine, which each worker measures: the maximum counts, without dead workers.
OF_MACHINE = "system."

#: Value, epoch nanoseconds, trace id, span id.
_Exemplar = list[Any]


@dataclass
class Series:
    """The points of a metric: attributes as JSON → value, or count, sum and buckets."""

    scope: str
    name: str
    unit: str
    description: str
    kind: str
    bounds: list[float] = field(default_factory=list)
    points: dict[str, Any] = field(default_factory=dict)
    #: The latest of each bucket, by its number as text. A counter has one.
    exemplars: dict[str, dict[str, _Exemplar]] = field(default_factory=dict)

    def keep_exemplars(self, others: Mapping[str, Mapping[str, _Exemplar]]) -> None:
        """Take the exemplars that are newer."""
        for key, by_bucket in others.items():
            known = self.exemplars.setdefault(key, {})
            for bucket, exemplar in by_bucket.items():
                if bucket not in known or known[bucket][1] < exemplar[1]:
                    known[bucket] = exemplar

    @property
    def is_lasting(self) -> bool:
        """Whether a dead worker's values still count."""
        return self.kind in ("counter", "histogram") and not self.name.startswith(OF_MACHINE)


#: All series of a worker, by scope and name.
Snapshot = dict[str, Series]


def snapshot_of(data: MetricsData | None) -> Snapshot:
    """A snapshot of the SDK's metrics, without exponential histograms, which the exporter cannot show."""
    found: Snapshot = {}
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                # Two versions of one scope are two scopes.
                series = _series(f"{scope.scope.name} {scope.scope.version or ''}", metric)
                if series is not None:
                    found[f"{series.scope} {metric.name}"] = series
    return found


def _series(scope: str, metric: Metric) -> Series | None:
    data = metric.data
    if isinstance(data, Histogram):
        kind = "histogram"
    elif isinstance(data, Sum):
        kind = "counter" if data.is_monotonic else "up_down_counter"
    elif isinstance(data, Gauge):
        kind = "gauge"
    else:
        return None
    series = Series(scope, metric.name, metric.unit or "", metric.description or "", kind)
    for point in data.data_points:
        key = json.dumps(dict(point.attributes or {}), sort_keys=True, default=str)
        if isinstance(point, HistogramDataPoint):
            series.bounds = [float(bound) for bound in point.explicit_bounds]
            series.points[key] = [point.count, point.sum, *point.bucket_counts]
        else:
            series.points[key] = point.value
        for item in point.exemplars:
            bucket = str(bisect_left(series.bounds, item.value))
            exemplar = [item.value, item.time_unix_nano, item.trace_id or 0, item.span_id or 0]
            series.keep_exemplars({key: {bucket: exemplar}})
    return series


def to_json(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Convert a snapshot for a file."""
    return [vars(series) for series in snapshot.values()]


def from_json(items: Iterable[Mapping[str, Any]]) -> Snapshot:
    """Convert what `to_json` made.

    Raises:
        TypeError: The items have another form.
        KeyError: A part is missing.
    """
    return {f"{item['scope']} {item['name']}": Series(**item) for item in items}


def lasting(snapshot: Snapshot) -> Snapshot:
    """What stays of a dead worker: its counters and histograms, without exemplars."""
    return {
        key: Series(s.scope, s.name, s.unit, s.description, s.kind, s.bounds, dict(s.points))
        for key, s in snapshot.items()
        if s.is_lasting
    }


def merged(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Add up snapshots."""
    total: Snapshot = {}
    for snapshot in snapshots:
        for key, series in snapshot.items():
            known = total.get(key)
            if known is None:
                total[key] = Series(
                    series.scope, series.name, series.unit, series.description, series.kind, series.bounds
                )
                known = total[key]
            if (known.kind, known.bounds) == (series.kind, series.bounds):
                _add(known, series)
    return total


def _add(total: Series, series: Series) -> None:
    for key, value in series.points.items():
        known = total.points.get(key)
        if known is None:
            total.points[key] = list(value) if isinstance(value, list) else value
        elif total.kind == "histogram":
            total.points[key] = [mine + other for mine, other in zip(known, value, strict=True)]
        elif total.name.startswith(OF_MACHINE):
            total.points[key] = max(known, value)
        elif total.kind == "gauge":
            total.points[key] = GAUGES.get(total.name, max)((known, value))
        else:
            total.points[key] = known + value
    total.keep_exemplars(series.exemplars)


def to_sdk(snapshot: Snapshot, resource: Resource) -> MetricsData:
    """Convert a snapshot into the SDK's objects for exporters."""
    scopes: dict[str, list[Metric]] = {}
    for series in snapshot.values():
        points: list[Any] = []
        for key, value in series.points.items():
            attributes = json.loads(key)
            exemplars = [
                Exemplar(filtered_attributes={}, value=number, time_unix_nano=at, span_id=span_id, trace_id=trace_id)
                for number, at, trace_id, span_id in series.exemplars.get(key, {}).values()
            ]
            if series.kind == "histogram":
                count, total, *buckets = value
                points.append(
                    HistogramDataPoint(attributes, 0, 0, count, total, buckets, series.bounds, 0.0, 0.0, exemplars)
                )
            else:
                points.append(NumberDataPoint(attributes, 0, 0, value, exemplars))
        scopes.setdefault(series.scope, []).append(
            Metric(series.name, series.description, series.unit, _data(series.kind, points))
        )
    return MetricsData(
        [
            ResourceMetrics(
                resource,
                [ScopeMetrics(InstrumentationScope(scope), metrics, "") for scope, metrics in scopes.items()],
                "",
            )
        ]
    )


def _data(kind: str, points: list[Any]) -> Any:
    if kind == "histogram":
        return Histogram(points, AggregationTemporality.CUMULATIVE)
    if kind == "gauge":
        return Gauge(points)
    return Sum(points, AggregationTemporality.CUMULATIVE, kind == "counter")
