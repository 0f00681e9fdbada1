"""OpenTelemetry's exporter for Prometheus: its collector, one metric at a time. Needs ``otelflask[prometheus]``.

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
    """The exporter's collector for one collection."""

    def __init__(self, data: MetricsData) -> None:
        # Metrics that arrive through the collector have no scope labels either.
        super().__init__(scope_info_enabled=False)
        self.add_metrics_data(data)

    def translate(self, metric: Metric, families: dict[str, Any]) -> Metric:
        """Return the metric to translate in place of this one, given the families so far."""
        return metric

    def translated(self, metric: Metric, families: dict[str, Any], before: dict[str, int]) -> None:
        """Called when a metric has become samples.

        Args:
            metric: The metric.
            families: The families by now.
            before: The number of samples that each family had before.
        """

    def _translate_metric(
        self, metric: Metric, scope_attrs: Any, resource_attrs: Any, metric_family_id_metric_family: dict[str, Any]
    ) -> None:
        families = metric_family_id_metric_family
        before = {key: len(family.samples) for key, family in families.items()}
        super()._translate_metric(self.translate(metric, families), scope_attrs, resource_attrs, families)
        self.translated(metric, families, before)
