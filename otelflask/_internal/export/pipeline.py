"""The providers, their queues and other senders: flush, end in time, and reset in a forked child.

A process has one pipeline, and its apps share it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor

from otelflask._internal.compat import otel_logs, otel_trace
from otelflask._internal.compat.otel_logs import LogRecordProcessor
from otelflask._internal.compat.otel_metrics import resource_of
from otelflask._internal.export.closing import Sender, close
from otelflask._internal.export.destinations import Signal
from otelflask._internal.export.queue import ExportQueue
from otelflask._internal.export.scrubbed import scrubbed_metrics
from otelflask._internal.export.self_metrics import QueueMetrics
from otelflask._internal.limits import Limits
from otelflask._internal.redaction import Scrubber
from otelflask._internal.sdk import resource as resources
from otelflask._internal.sdk.logger_provider import LoggerProvider
from otelflask._internal.sdk.meter_provider import MeterProvider
from otelflask._internal.sdk.periodic_reader import PeriodicReader
from otelflask._internal.sdk.tracer_provider import TracerProvider


class QueueSpanProcessor(SpanProcessor):
    """Adds ended, sampled spans to the export queue."""

    only_ended_spans = True

    def __init__(self, queue: ExportQueue, shutdown_timeout: float = 5.0) -> None:
        self.queue = queue
        self._shutdown_timeout = shutdown_timeout

    def on_end(self, span: Any) -> None:
        if otel_trace.trace_flags_of(span) & 1:
            self.queue.append(span)

    def shutdown(self) -> None:
        close([self.queue], time.monotonic() + self._shutdown_timeout)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.queue.flush(timeout_millis / 1000)


class QueueLogProcessor(LogRecordProcessor):
    """Adds log records to the export queue."""

    def __init__(self, queue: ExportQueue, shutdown_timeout: float = 5.0) -> None:
        self.queue = queue
        self._shutdown_timeout = shutdown_timeout

    def on_emit(self, log_record: Any) -> None:
        self.queue.append(log_record)

    def shutdown(self) -> None:
        close([self.queue], time.monotonic() + self._shutdown_timeout)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.queue.flush(timeout_millis / 1000)


@dataclass
class Pipeline:
    """The providers in use, and what of them otelflask flushes and ends."""

    tracer_provider: Any
    meter_provider: Any
    logger_provider: Any
    scrubber: Scrubber
    queues: list[ExportQueue] = field(default_factory=list)
    reader: PeriodicReader | None = None
    #: The limits of a span, a log record and a metric's attribute set.
    span_limits: Limits = field(default_factory=Limits)
    log_limits: Limits = field(default_factory=Limits)
    metric_limits: Limits = field(default_factory=Limits)
    shutdown_timeout: float = 5.0
    #: What sends by other ways than OTLP, in the same time.
    senders: list[Sender] = field(default_factory=list)
    queue_metrics: QueueMetrics | None = None
    #: The ``service.instance.id`` that the user has set.
    explicit_instance_id: str | None = None
    #: The providers that otelflask made; the others are the app's.
    owned: list[Any] = field(default_factory=list)
    _closed: bool = False

    @property
    def resource(self) -> dict[str, Any]:
        """The resource's attributes, as logs have them."""
        found = getattr(self.logger_provider, "resource", None)
        return dict(found.attributes) if found is not None else {}

    def add_queue(self, signal: Signal, queue: ExportQueue) -> None:
        """Flush, end, measure and show a queue with the others."""
        self.queues.append(queue)
        if self.queue_metrics is not None:
            queue.on_result = self.queue_metrics.recorder(signal, queue)
            self.queue_metrics.add_queue(queue)

    def scrubbed_metrics(self, data: Any) -> Any:
        """Metrics without secrets and within the limits."""
        return scrubbed_metrics(data, self.scrubber, self.metric_limits)

    def flush(self, timeout: float | None = None) -> bool:
        """Send everything now.

        Args:
            timeout: Seconds (default: `shutdown_timeout`).

        Returns:
            Whether everything was tried in time.
        """
        deadline = time.monotonic() + (self.shutdown_timeout if timeout is None else timeout)
        if self.reader is not None:
            self.reader.collect_safely()
        # Each queue is tried, also after one that was late.
        done = [sender.flush(max(0.0, deadline - time.monotonic())) for sender in (*self.queues, *self.senders)]
        return all(done)

    def shutdown(self, timeout: float | None = None) -> None:
        """Flush and end what is ours, all signals at once.

        A second call does nothing.

        Args:
            timeout: Seconds (default: `shutdown_timeout`).
        """
        if self._closed:
            return
        self._closed = True
        deadline = time.monotonic() + (self.shutdown_timeout if timeout is None else timeout)
        if self.reader is not None:
            self.reader.collect_last()
        close([*self.queues, *self.senders], deadline)

    @property
    def is_closed(self) -> bool:
        """Whether it was shut down in this process."""
        return self._closed

    def after_fork(self) -> None:
        """Reset resource, queues, threads and sums in a forked child."""
        self._closed = False
        forked: Resource | None = None
        for provider in self.owned:
            before = resource_of(provider) if isinstance(provider, MeterProvider) else provider.resource
            # One resource for all providers, because they share its instance id.
            forked = forked or resources.forked(before, self.explicit_instance_id)
            if isinstance(provider, TracerProvider):
                otel_trace.set_provider_resource(provider, forked)
            elif isinstance(provider, LoggerProvider):
                otel_logs.set_provider_resource(provider, forked)
            elif isinstance(provider, MeterProvider):
                provider.set_resource(forked)
                provider.after_fork()
        for sender in (*self.queues, *self.senders):
            sender.after_fork()
        if self.reader is not None:
            self.reader.start()
