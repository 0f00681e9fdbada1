"""The logger provider: the SDK's, with processors and loggers that never raise into the app."""

from __future__ import annotations

import functools
from typing import Any

from otelflask._internal import guard
from otelflask._internal.compat import otel_logs
from otelflask._internal.compat.otel_api import NoOpLogger
from otelflask._internal.sdk.user_parts import (
    end_each,
    flushed,
    processor_failed,
    provided,
    safe_attributes,
    takes_last,
)


class LogProcessors(otel_logs.LogRecordProcessorList):
    """The SDK's list of processors. An exception of one reaches neither the others nor the app."""

    def add_log_record_processor(self, log_record_processor: Any) -> None:
        self.add_processor(log_record_processor, takes_last)

    def on_emit(self, log_record: Any) -> None:
        guard.call_each(self.processors, "on_emit", log_record, processor_failed)

    def enabled(self, **about: Any) -> bool:
        return any(self._is_enabled(processor, about) for processor in self.processors)

    @staticmethod
    def _is_enabled(processor: Any, about: dict[str, Any]) -> bool:
        def ask() -> bool:
            return bool(processor.enabled(**about))

        def unknown(error: Exception) -> bool:
            processor_failed(processor, error)
            return True

        return guard.attempt(ask, on_error=unknown)

    def shutdown(self) -> None:
        end_each(self.processors)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return flushed(super().force_flush, timeout_millis)


class Logger(otel_logs.Logger):
    """The SDK's logger. It accepts any value that the app passes."""

    def emit(self, record: Any = None, **given: Any) -> None:
        emit = functools.partial(super().emit, record, **given)
        guard.attempt(emit, on_error=lambda error: guard.call_hook("log record", self._emit_safely, record, given))

    def _emit_safely(self, record: Any, given: dict[str, Any]) -> None:
        """Emit again with attributes that can be read."""
        if record is None:
            super().emit(None, **{**given, "attributes": safe_attributes(given.get("attributes"))})
        else:
            record.attributes = safe_attributes(record.attributes)
            super().emit(record, **given)


class LoggerProvider(otel_logs.ForkSafeLoggerProvider):
    """The SDK's logger provider. It never raises into the app."""

    def __init__(self, **options: Any) -> None:
        super().__init__(multi_log_record_processor=LogProcessors(), **options)  # type: ignore[no-untyped-call]

    def get_logger(self, *arguments: Any, **options: Any) -> Any:
        make = functools.partial(super().get_logger, *arguments, **options)
        return provided(make, otel_logs.Logger, Logger, NoOpLogger(""))
