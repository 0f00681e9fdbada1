"""Our log records: a subclass of the SDK's, without parts that nobody reads."""

from __future__ import annotations

import functools
from itertools import islice
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext

from otelflask._internal import clock, guard
from otelflask._internal.attribute_layers import Layers, merged
from otelflask._internal.compat import otel_logs
from otelflask._internal.compat.otel_api import LogRecord, SeverityNumber
from otelflask._internal.compat.otel_logs import ReadWriteLogRecord, is_logger_enabled, parts_of_logger
from otelflask._internal.sdk.logger_provider import Logger
from otelflask._internal.sdk.user_parts import processor_failed


class Record(LogRecord):
    """A log record with attributes in layers (see ``attribute_layers``)."""

    #: The attributes as one dictionary, once somebody has asked for it.
    _attributes: dict[str, Any] | None = None

    # The API's __init__ would look up the current span again.
    def __init__(  # pylint: disable=super-init-not-called
        self,
        timestamp: int,
        severity_number: SeverityNumber,
        severity_text: str,
        body: Any,
        layers: Layers,
        span_context: SpanContext | None,
        context: Context | None = None,
        event_name: str | None = None,
    ) -> None:
        if span_context is None:
            span_context = INVALID_SPAN_CONTEXT
        self.timestamp = timestamp
        self.observed_timestamp = clock.time_ns()
        self.context = context or Context()
        self.trace_id = span_context.trace_id
        self.span_id = span_context.span_id
        self.trace_flags = span_context.trace_flags
        self.severity_text = severity_text
        self.severity_number = severity_number
        self.body = body
        self.layers = layers
        self.event_name = event_name
        self.exception = None
        #: The number of dropped attributes.
        self.dropped = 0

    @property
    def attributes(self) -> dict[str, Any]:
        """All attributes: one dictionary, which a processor may change, as that of the SDK's record."""
        found = self._attributes
        if found is None:
            self.attributes = found = merged(self.layers)
        return found

    @attributes.setter
    def attributes(self, value: dict[str, Any]) -> None:
        self._attributes = found = value if type(value) is dict else dict(value)
        self.layers = (found,)

    def bound(self, count: int | None) -> None:
        """Keep the first `count` attributes; None for all."""
        layers = self.layers
        if count is None or sum(map(len, layers)) <= count:
            return
        found = merged(layers)
        self.dropped += max(0, len(found) - count)
        self.attributes = dict(islice(found.items(), count))


class EmittedRecord(ReadWriteLogRecord):
    """The record for processors: the SDK's class, without another copy of the attributes."""

    log_record: Record

    def __post_init__(self) -> None:
        # The base class would copy the attributes into a bounded dict and cut values, which the encoder does.
        self.log_record.bound(self.limits.max_log_record_attributes)

    @property
    def dropped_attributes(self) -> int:
        return self.log_record.dropped


def emit(logger: Any, record: Record) -> None:
    """Emit a record through a logger. An exception of a user's processor is logged.

    For a logger that is not ours, its own `emit` is called.
    """
    # Compare the class first: `isinstance` with an ABC is slow.
    if type(logger) is Logger:
        if is_logger_enabled(logger):
            resource, scope, limits, processors = parts_of_logger(logger)
            emitted = EmittedRecord(record, resource, scope, limits)
            # The list's `on_emit` would be one more call.
            guard.call_each(processors.processors, "on_emit", emitted, processor_failed)
    elif isinstance(logger, otel_logs.Logger):
        guard.attempt(_emit_by_sdk, logger, record, on_error=functools.partial(processor_failed, logger))
    else:
        guard.call_each((logger,), "emit", record, processor_failed)


def _emit_by_sdk(logger: otel_logs.Logger, record: Record) -> None:
    if is_logger_enabled(logger):
        resource, scope, limits, processors = parts_of_logger(logger)
        processors.on_emit(EmittedRecord(record, resource, scope, limits))
