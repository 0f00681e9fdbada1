"""Metrics in Prometheus's format, by OpenTelemetry's exporter, with exemplars and the collector's names."""

from __future__ import annotations

import dataclasses
import re
from bisect import bisect_left
from typing import Any

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.samples import Exemplar
except ImportError:
    raise ImportError("metrics_path needs OpenTelemetry's exporter: pip install otelflask[prometheus]") from None
from opentelemetry.sdk.metrics.export import Gauge, Histogram, Metric, MetricsData, Sum

from otelflask._internal.compat.otel_prometheus import PrometheusCollector, map_unit


class _Collector(PrometheusCollector):
    """The exporter's collector. What it leaves out is added to its samples."""

    def translate(self, metric: Metric, families: dict[str, Any]) -> Metric:
        return _renamed(metric)

    def translated(self, metric: Metric, families: dict[str, Any], before: dict[str, int]) -> None:
        for key, family in families.items():
            known = before.get(key, 0)
            if len(family.samples) > known and isinstance(metric.data, (Histogram, Sum)):
                family.samples[known:] = _with_exemplars(metric.data, family.samples[known:], family.type)


def _renamed(metric: Metric) -> Metric:
    """Rename a metric as Prometheus does for OTLP (compatibility specification, "Metric metadata")."""
    name, unit = metric.name, metric.unit
    is_gauge = isinstance(metric.data, Gauge)
    if unit == "1" and is_gauge and "ratio" not in re.split(r"\W|_", name):
        return dataclasses.replace(metric, name=f"{name}.ratio", unit="")
    words = re.split(r"[^a-zA-Z0-9]+", name)
    if unit and any(word in words for word in map_unit(unit).split("_") if word != "per"):
        # Do not add a unit that the name ends with already.
        return dataclasses.replace(metric, unit="")
    return metric


def _with_exemplars(data: Any, samples: list[Any], kind: str) -> list[Any]:
    """The samples of the points, in the same order, each with its exemplar."""
    if kind == "counter":
        return [
            sample._replace(exemplar=_shown(point.exemplars[-1])) if point.exemplars else sample
            for sample, point in zip(samples, data.data_points, strict=True)
        ]
    if kind != "histogram":
        return samples
    result: list[Any] = []
    rest = iter(samples)
    for point in data.data_points:
        exemplars = {bisect_left(point.explicit_bounds, item.value): item for item in point.exemplars}
        for bucket in range(len(point.bucket_counts)):
            sample = next(rest)
            found = exemplars.get(bucket)
            result.append(sample if found is None else sample._replace(exemplar=_shown(found)))
        result += [next(rest), next(rest)]
    return result


def _shown(exemplar: Any) -> Exemplar:
    labels = {"trace_id": f"{exemplar.trace_id:032x}", "span_id": f"{exemplar.span_id:016x}"}
    return Exemplar(labels, exemplar.value, exemplar.time_unix_nano / 1e9)


def exposition(data: MetricsData, accept: str) -> tuple[bytes, str]:
    """Make the page.

    Args:
        data: The metrics.
        accept: The request's Accept header.

    Returns:
        The body and its Content-Type.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(data))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
