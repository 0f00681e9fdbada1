"""OpenTelemetry's SDK for log records: private parts of its logger and provider.

Sources: ``opentelemetry.sdk._logs``, which is public but not stable, and ``opentelemetry.sdk._logs._internal``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from opentelemetry.sdk._logs import (
    Logger,
    LoggerProvider,
    LogRecordLimits,
    LogRecordProcessor,
    ReadableLogRecord,
    ReadWriteLogRecord,
)
from opentelemetry.sdk._logs._internal import SynchronousMultiLogRecordProcessor
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

__all__ = [
    "ForkSafeLoggerProvider",
    "InMemoryLogRecordExporter",
    "LogRecordLimits",
    "LogRecordProcessor",
    "LogRecordProcessorList",
    "Logger",
    "LoggerProvider",
    "ReadWriteLogRecord",
    "ReadableLogRecord",
    "SimpleLogRecordProcessor",
    "is_logger_enabled",
    "parts_of_logger",
    "processors_of_logger",
    "set_provider_resource",
]

#: Whether a logger emits at all.
is_logger_enabled: Callable[[Any], bool] = Logger._is_enabled
#: What a logger gives its records and where it emits them: resource, scope, limits, processors.
parts_of_logger: Callable[[Any], tuple[Resource, InstrumentationScope, LogRecordLimits, Any]] = attrgetter(
    "_resource", "_instrumentation_scope", "_log_record_limits", "_multi_log_record_processor"
)
#: The processors of a logger's provider. The tuple is replaced when one is added.
processors_of_logger: Callable[[Any], tuple[Any, ...]] = attrgetter(
    "_multi_log_record_processor._log_record_processors"
)


class ForkSafeLoggerProvider(LoggerProvider):
    """The SDK's logger provider, without its look for a new resource in each forked child (as in `otel_trace`)."""

    def _handle_fork(self) -> None:
        self._logger_cache_lock = threading.Lock()
        self._active_loggers_lock = threading.Lock()


def set_provider_resource(provider: LoggerProvider, resource: Resource) -> None:
    """Replace the resource of a provider and of the loggers that it has made."""
    provider._resource = resource
    for logger in list(provider._active_loggers):
        logger._set_resource(resource)


class LogRecordProcessorList(SynchronousMultiLogRecordProcessor):
    """The SDK's list of processors, made readable."""

    #: All processors, in order.
    processors = property(attrgetter("_log_record_processors"))

    def add_processor(self, processor: LogRecordProcessor, order: Callable[[LogRecordProcessor], Any]) -> None:
        """Add a processor, and sort all of them."""
        with self._lock:
            self._log_record_processors = tuple(sorted((*self._log_record_processors, processor), key=order))
