"""In-memory providers with predictable ids, for an app's own tests."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from otelflask._internal import event_names
from otelflask._internal.compat.otel_logs import (
    InMemoryLogRecordExporter,
    LoggerProvider,
    ReadableLogRecord,
    SimpleLogRecordProcessor,
)
from otelflask._internal.sdk.meter_provider import MeterProvider


class SequentialIds(IdGenerator):
    """Trace and span ids 1, 2, 3, …: the same in every run."""

    def __init__(self) -> None:
        self._spans = itertools.count(1)
        self._traces = itertools.count(1)

    def generate_span_id(self) -> int:
        return next(self._spans)

    def generate_trace_id(self) -> int:
        return next(self._traces)


class MetricsInMemory(MetricReader):
    """Collects on demand.

    The SDK's `InMemoryMetricReader` fails after 10 s, which a collection takes on a busy machine.
    """

    def __init__(self) -> None:
        super().__init__()
        self._latest: MetricsData | None = None

    def get_metrics_data(self) -> MetricsData | None:
        """The metrics, collected now. None without a meter."""
        self._latest = None
        self.collect(timeout_millis=120_000)
        return self._latest

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_kwargs: Any) -> None:
        self._latest = metrics_data

    def shutdown(self, timeout_millis: float = 30_000, **_kwargs: Any) -> None:
        """Nothing to close."""


class CapturedTelemetry:
    """Providers that keep spans, log records and metrics in memory.

    ``init(app, **captured.providers)`` sends an app's telemetry to it.

    Args:
        sampler: The sampler (default: everything is sampled).
        metric_sets: The most attribute sets of a metric.
    """

    def __init__(self, sampler: Any = None, metric_sets: int = 2_000) -> None:
        resource = Resource({"service.name": "test"})
        self._spans = InMemorySpanExporter()
        self._records = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self.reader = MetricsInMemory()
        self.tracer_provider = TracerProvider(
            sampler=sampler, resource=resource, id_generator=SequentialIds(), shutdown_on_exit=False
        )
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.logger_provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._records))
        self.meter_provider = MeterProvider(metric_readers=[self.reader], resource=resource, cap=metric_sets)

    @property
    def providers(self) -> dict[str, Any]:
        """The keyword arguments for ``otelflask.init``."""
        return {
            "tracer_provider": self.tracer_provider,
            "meter_provider": self.meter_provider,
            "logger_provider": self.logger_provider,
        }

    @property
    def spans(self) -> list[ReadableSpan]:
        """Ended spans, in the order of their end."""
        return list(self._spans.get_finished_spans())

    @property
    def logs(self) -> list[Any]:
        """Log records (`LogRecord`), in the order in which they were emitted, without the one of the start."""
        records: tuple[ReadableLogRecord, ...] = self._records.get_finished_logs()
        return [record.log_record for record in records if record.log_record.event_name != event_names.START]

    def span(self, name: str) -> ReadableSpan:
        """The span of this name.

        Raises:
            AssertionError: There is none, or more than one.
        """
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, f"{len(found)} spans named {name!r} among {[span.name for span in self.spans]}"
        return found[0]

    def points(self, name: str) -> list[Any]:
        """The data points of a metric, collected now."""
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def wait_for(self, condition: Callable[[], Any], timeout: float = 30.0) -> None:
        """Wait until a condition is true, because another thread makes it true.

        Args:
            condition: Called again and again.
            timeout: Seconds.

        Raises:
            TimeoutError: It did not become true.
        """
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {timeout:g} s")
            time.sleep(0.01)

    def clear(self) -> None:
        """Forget spans and log records. Metrics stay, because they are sums."""
        self._spans.clear()
        self._records.clear()

    def close(self) -> None:
        """Shut down the providers."""
        self.tracer_provider.shutdown()
        self.logger_provider.shutdown()
        self.meter_provider.shutdown()
