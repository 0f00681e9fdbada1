"""Processors of the providers: what ends is handed over, or queued as the SDK's object."""

from __future__ import annotations

import time
from typing import Any

from opentelemetry.sdk.trace import SpanProcessor

from otelflask._internal.compat import otel_trace
from otelflask._internal.compat.otel_logs import (
    LogRecordProcessor,
    is_logger_enabled,
    parts_of_logger,
    processors_of_logger,
)
from otelflask._internal.export.closing import close
from otelflask._internal.export.outputs import Output
from otelflask._internal.export.queue import ExportQueue
from otelflask._internal.sdk.flat_items import Flat, flat_record, flat_scope, flat_span
from otelflask._internal.sdk.logger_provider import Logger


class _Handing:
    """What both processors that hand over have in common.

    Args:
        output: Where items go.
        shutdown_timeout: Seconds that the provider's own `shutdown` may take.
    """

    takes_last = True

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
    # A processor of the user's around ours may pass on its attributes.
    return [item.output if isinstance(item, _Handing) else None for item in processors or ()] == [output]


class LoggerOutput:
    """Where the records of a logger go as flat tuples, as long as nobody sees them as objects.

    Attributes:
        logger: The logger.
        scope: Its scope (`flat_items.flat_scope`).
        limit: The most attributes of its records; None for no limit.
    """

    def __init__(self, logger: Any) -> None:
        self.logger = logger
        self.scope: Flat = ()
        self.limit: int | None = None
        self._is_ours = type(logger) is Logger
        # The processors, and what they make of it. Replaced as a whole, because threads read it.
        self._known: tuple[Any, Output | None] = ((), None)

    def find(self) -> tuple[bool, Output | None]:
        """Whether its records reach anyone, and the output that takes all of them; None where they must be objects."""
        logger = self.logger
        if not self._is_ours:
            return True, None
        if not is_logger_enabled(logger):
            return False, None
        processors, known = processors_of_logger(logger), self._known
        # A provider makes a new tuple of processors when it gets another.
        if processors is not known[0]:
            _, scope, limits, _ = parts_of_logger(logger)
            self.scope, self.limit = flat_scope(scope), limits.max_log_record_attributes
            only = processors[0] if len(processors) == 1 else None
            known = self._known = (processors, only.output if isinstance(only, _Handing) else None)
        return bool(processors), known[1]


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

    takes_last = True

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
