"""Processors of the providers: what ends is handed over, or queued as the SDK's object."""

from __future__ import annotations

import time
from typing import Any

from opentelemetry.sdk.trace import SpanProcessor

from otelflask._internal.compat import otel_trace
from otelflask._internal.compat.otel_logs import LogRecordProcessor
from otelflask._internal.export.closing import close
from otelflask._internal.export.outputs import Output
from otelflask._internal.export.queue import ExportQueue
from otelflask._internal.sdk.flat_items import flat_record, flat_scope, flat_span


class _Handing:
    """What both processors that hand over have in common.

    Args:
        output: Where items go.
        shutdown_timeout: Seconds that the provider's own `shutdown` may take.
    """

    def __init__(self, output: Output, shutdown_timeout: float) -> None:
        self.output = output
        self._shutdown_timeout = shutdown_timeout

    def shutdown(self) -> None:
        """End the queues."""
        self.output.handover.drain()
        close(self.output.queues, time.monotonic() + self._shutdown_timeout)
        for ended in self.output.ended:
            ended()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what has ended."""
        deadline = time.monotonic() + timeout_millis / 1000
        self.output.handover.drain()
        done = [queue.flush(max(0.0, deadline - time.monotonic())) for queue in self.output.queues]
        return all(done)


def hands_over(processors: tuple[Any, ...] | None, output: Output) -> bool:
    """Whether a provider hands all of its items to an output, and nobody else sees them.

    Then an item need not be an object.
    """
    return [getattr(item, "output", None) for item in processors or ()] == [output]


class HandoverSpanProcessor(_Handing, SpanProcessor):
    """Hands ended spans over."""

    only_ended_spans = True

    def on_end(self, span: Any) -> None:
        is_sampled = bool(otel_trace.trace_flags_of(span) & 1)
        if is_sampled or self.output.watchers:
            scope = flat_scope(span.instrumentation_scope)
            self.output.hand_over(scope, flat_span(span, self.output.layer_bytes), is_sampled)


class HandoverLogProcessor(_Handing, LogRecordProcessor):
    """Hands log records over."""

    def on_emit(self, log_record: Any) -> None:
        scope = flat_scope(log_record.instrumentation_scope)
        self.output.hand_over(scope, flat_record(log_record, self.output.layer_bytes), True)


class _Queueing:
    """What both processors for exporters with the SDK's interface have in common."""

    def __init__(self, queue: ExportQueue, shutdown_timeout: float) -> None:
        self.queue = queue
        self._shutdown_timeout = shutdown_timeout

    def shutdown(self) -> None:
        """End the queue."""
        close([self.queue], time.monotonic() + self._shutdown_timeout)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits."""
        return self.queue.flush(timeout_millis / 1000)


class QueueSpanProcessor(_Queueing, SpanProcessor):
    """Queues ended, sampled spans."""

    only_ended_spans = True

    def on_end(self, span: Any) -> None:
        if otel_trace.trace_flags_of(span) & 1:
            self.queue.append(span)


class QueueLogProcessor(_Queueing, LogRecordProcessor):
    """Queues log records."""

    def on_emit(self, log_record: Any) -> None:
        self.queue.append(log_record)
