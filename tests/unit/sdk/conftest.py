from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otelflask._internal.sdk.logger_provider import LoggerProvider
from otelflask._internal.sdk.meter_provider import MeterProvider
from otelflask._internal.sdk.tracer_provider import TracerProvider
from otelflask._internal.testing.capture import MetricsInMemory
from otelflask.testing import CapturedTelemetry


class Ours(CapturedTelemetry):
    """Captures what the providers of `init` make."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False, **options)
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        self.reader = MetricsInMemory()
        self.meter_provider = MeterProvider(metric_readers=[self.reader], cap=100)

    def capture(self) -> None:
        """Capture last, after what a test has added."""
        self._spans, self._records = InMemorySpanExporter(), InMemoryLogRecordExporter()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._records))


@pytest.fixture
def ours() -> Ours:
    made = Ours()
    made.capture()
    return made
