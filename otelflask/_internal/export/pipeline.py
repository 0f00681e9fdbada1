"""The providers, their queues and other senders: flush, end in time, and reset in a forked child.

A process has one pipeline, and its apps share it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.resources import Resource

from otelflask._internal.compat import otel_logs, otel_trace
from otelflask._internal.compat.otel_metrics import resource_of
from otelflask._internal.export.closing import Sender, close
from otelflask._internal.export.destinations import Signal
from otelflask._internal.export.handover import Handover
from otelflask._internal.export.otlp_encoder import Encoder
from otelflask._internal.export.outputs import Output, Watcher
from otelflask._internal.export.processors import HandoverLogProcessor, HandoverSpanProcessor
from otelflask._internal.export.queue import ExportQueue
from otelflask._internal.export.scrubbed import scrubbed_metrics
from otelflask._internal.export.self_metrics import QueueMetrics
from otelflask._internal.lifecycle import forks, hurry
from otelflask._internal.limits import Limits
from otelflask._internal.redaction import Scrubber
from otelflask._internal.sdk import flat_items
from otelflask._internal.sdk import resource as resources
from otelflask._internal.sdk.logger_provider import LoggerProvider
from otelflask._internal.sdk.meter_provider import MeterProvider
from otelflask._internal.sdk.periodic_reader import PeriodicReader
from otelflask._internal.sdk.tracer_provider import TracerProvider


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
    handover: Handover = field(default_factory=Handover)
    _closed: bool = False
    #: When this process was forked from one with this pipeline, in time.monotonic seconds.
    _forked_at: float | None = None

    def __post_init__(self) -> None:
        spans = logs = Encoder(self.scrubber, self.span_limits)
        if self.log_limits != self.span_limits:
            logs = Encoder(self.scrubber, self.log_limits)
        #: Where spans and log records go.
        self.spans = Output(self.handover, spans, spans.span, spans.layer_of_span, flat_items.TRACE_ID_OF_SPAN)
        self.logs = Output(self.handover, logs, logs.record, logs.layer_of_record, flat_items.TRACE_ID_OF_RECORD)
        self._hands_over_spans = self._hands_over_logs = False

    def hand_over_spans(self) -> None:
        """Have the tracer provider hand its spans over, once."""
        if not self._hands_over_spans:
            self._hands_over_spans = True
            self.tracer_provider.add_span_processor(HandoverSpanProcessor(self.spans, self.shutdown_timeout))

    def hand_over_logs(self) -> None:
        """Have the logger provider hand its log records over, once."""
        if not self._hands_over_logs:
            self._hands_over_logs = True
            self.logger_provider.add_log_record_processor(HandoverLogProcessor(self.logs, self.shutdown_timeout))

    def watch(self, take_span: Watcher, take_record: Watcher, ended: Callable[[], object]) -> None:
        """Give each encoded span and log record to watchers too.

        Args:
            take_span: Takes a span.
            take_record: Takes a log record.
            ended: Called when the tracer provider has ended.
        """
        self.spans.watchers.append(take_span)
        self.logs.watchers.append(take_record)
        self.spans.ended.append(ended)
        self.hand_over_spans()
        self.hand_over_logs()

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
        self.handover.drain()
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
        self.handover.close()
        if self.reader is not None:
            if self._is_brief():
                self.reader.stop()
            else:
                self.reader.collect_last()
        close([*self.queues, *self.senders], deadline)

    def _is_brief(self) -> bool:
        """Whether this is a forked child that has measured nothing and has not lived for an interval.

        Its metrics would be new series that end at once, for each task of a pool.
        """
        if self._forked_at is None or self.reader is None:
            return False
        has_measured = not isinstance(self.meter_provider, MeterProvider) or self.meter_provider.has_measured
        return not has_measured and time.monotonic() - self._forked_at < self.reader.interval

    def abandon(self) -> None:
        """End without sending, and without a word about what waits: another process has the app."""
        self._closed = True
        if self.reader is not None:
            self.reader.stop()
        for sender in (*self.queues, *self.senders):
            sender.begin_close(time.monotonic())
        self.handover.close()

    @property
    def is_closed(self) -> bool:
        """Whether it was shut down in this process."""
        return self._closed

    def after_fork(self) -> None:
        """Reset resource, queues, threads and sums in a forked child."""
        hurry.forget()
        self._closed = False
        self._forked_at = time.monotonic()
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
                if not forks.is_heir:
                    provider.after_fork()
        self.handover.after_fork(forks.is_heir)
        for queue in self.queues:
            queue.after_fork(forks.is_heir)
        for sender in self.senders:
            sender.after_fork()
        if self.reader is not None:
            self.reader.start()
