"""OpenTelemetry's exporter for Prometheus: its collector, a metric at a time. Needs ``otelflask[prometheus]``.

Source: ``opentelemetry.exporter.prometheus``.
"""

from __future__ import annotations

from typing import Any

try:
    from opentelemetry.exporter.prometheus import _CustomCollector
    from opentelemetry.exporter.prometheus._mapping import map_unit
except ImportError:
    raise ImportError("metrics_path needs OpenTelemetry's exporter: pip install otelflask[prometheus]") from None
from opentelemetry.sdk.metrics.export import Metric, MetricsData

__all__ = ["PrometheusCollector", "map_unit"]


class PrometheusCollector(_CustomCollector):
    """The exporter's collector of one collection."""

    def __init__(self, data: MetricsData) -> None:
        # Scopes are no labels of what comes through the collector either.
        super().__init__(scope_info_enabled=False)
        self.add_metrics_data(data)

    def translate(self, metric: Metric, families: dict[str, Any]) -> Metric:
        """What is translated in the place of a metric. In: also the families that there are by now."""
        return metric

    def translated(self, metric: Metric, families: dict[str, Any], before: dict[str, int]) -> None:
        """A metric has become samples. In: also how many samples each family had before."""

    def _translate_metric(
        self, metric: Metric, scope_attrs: Any, resource_attrs: Any, metric_family_id_metric_family: dict[str, Any]
    ) -> None:
        families = metric_family_id_metric_family
        before = {key: len(family.samples) for key, family in families.items()}
        super()._translate_metric(self.translate(metric, families), scope_attrs, resource_attrs, families)
        self.translated(metric, families, before)
