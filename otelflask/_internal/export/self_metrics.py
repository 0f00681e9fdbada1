"""Metrics of our own telemetry: ``otel.sdk.*`` (semantic conventions, "OpenTelemetry SDK metrics")."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from otelflask._internal.compat.otel_api import otel_metrics
from otelflask._internal.export.queue import ExportQueue
from otelflask._internal.version import __version__

#: A queue's signal and component.
_SIGNAL_OF_QUEUE = {"spans": "span", "log records": "log", "log lines": "log"}
_COMPONENTS = {
    "spans": "batching_span_processor",
    "log records": "batching_log_processor",
    "log lines": "otelflask_file_processor",
}


class QueueMetrics:
    """Counts delivered and dropped items, and observes lengths and capacities of queues, by component."""

    def __init__(self, meter_provider: MeterProvider) -> None:
        meter = meter_provider.get_meter("otelflask.pipeline", __version__)
        self._processed = {
            "traces": otel_metrics.create_otel_sdk_processor_span_processed(meter),
            "logs": otel_metrics.create_otel_sdk_processor_log_processed(meter),
        }
        self._exported = {
            "traces": otel_metrics.create_otel_sdk_exporter_span_exported(meter),
            "logs": otel_metrics.create_otel_sdk_exporter_log_exported(meter),
            "metrics": otel_metrics.create_otel_sdk_exporter_metric_data_point_exported(meter),
        }
        self._queues: list[ExportQueue] = []
        for signal in ("span", "log"):
            meter.create_observable_up_down_counter(
                f"otel.sdk.processor.{signal}.queue.size",
                callbacks=[self._observe(signal, len)],
                unit=f"{{{signal}}}",
                description=f"Items waiting in the {signal} queue.",
            )
            meter.create_observable_up_down_counter(
                f"otel.sdk.processor.{signal}.queue.capacity",
                callbacks=[self._observe(signal, lambda queue: queue.capacity)],
                unit=f"{{{signal}}}",
                description=f"Most items that the {signal} queue holds.",
            )

    def add_queue(self, queue: ExportQueue) -> None:
        """Observe a queue's length and capacity from now on."""
        self._queues.append(queue)

    def _observe(
        self, signal: str, value: Callable[[ExportQueue], int]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(options: CallbackOptions) -> Iterable[Observation]:
            return [
                Observation(value(queue), {"otel.component.type": _COMPONENTS[queue.name]})
                for queue in self._queues
                if _SIGNAL_OF_QUEUE.get(queue.name) == signal
            ]

        return observe

    def recorder(self, signal: str, queue: ExportQueue) -> Callable[[str, int], None]:
        """A function that counts an outcome of a queue."""
        processor = _COMPONENTS.get(queue.name, "")
        exporter = queue.destination.component_type
        # The conventions give readers no count of their own: what a reader drops, its exporter does not get.
        processed, exported = self._processed.get(signal), self._exported[signal]

        def record(outcome: str, count: int) -> None:
            kind, _, reason = outcome.partition(":")
            if processed is not None and reason in ("queue_full", "already_shutdown"):
                processed.add(count, {"otel.component.type": processor, "error.type": reason})
                return
            if processed is not None:
                processed.add(count, {"otel.component.type": processor})
            attributes: dict[str, Any] = {"otel.component.type": exporter}
            if kind != "delivered":
                attributes["error.type"] = reason or kind
            exported.add(count, attributes)

        return record
