"""The logger provider: the SDK's, whose processors and loggers raise nothing into the app."""

from __future__ import annotations

import functools
from typing import Any

from opentelemetry._logs import NoOpLogger
from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk._logs._internal import SynchronousMultiLogRecordProcessor

from otelflask._internal import guard
from otelflask._internal.sdk.guarded import end_each, flushed, processor_failed, provided, safe_attributes


class LogProcessors(SynchronousMultiLogRecordProcessor):
    """The SDK's list of processors, none of which keeps the others, or the app, from going on."""

    def on_emit(self, log_record: Any) -> None:
        for processor in self._log_record_processors:
            try:
                processor.on_emit(log_record)
            except Exception:
                processor_failed(processor)

    def enabled(self, **about: Any) -> bool:
        return any(self._is_enabled(processor, about) for processor in self._log_record_processors)

    @staticmethod
    def _is_enabled(processor: Any, about: dict[str, Any]) -> bool:
        try:
            return bool(processor.enabled(**about))
        except Exception:
            processor_failed(processor)
            return True

    def shutdown(self) -> None:
        end_each(self._log_record_processors)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return flushed(super().force_flush, timeout_millis)


class Logger(sdk_logs.Logger):
    """The SDK's logger, which takes what the app gives it."""

    def emit(self, record: Any = None, **given: Any) -> None:
        try:
            super().emit(record, **given)
        except Exception:
            self._emit_safely(record, given)

    def _emit_safely(self, record: Any, given: dict[str, Any]) -> None:
        """Once more, with attributes that can be read."""
        try:
            if record is None:
                super().emit(None, **{**given, "attributes": safe_attributes(given.get("attributes"))})
            else:
                record.attributes = safe_attributes(record.attributes)
                super().emit(record, **given)
        except Exception:
            guard.users_failed("log record")


class LoggerProvider(sdk_logs.LoggerProvider):
    """The SDK's logger provider, which raises nothing into the app."""

    def __init__(self, **options: Any) -> None:
        super().__init__(multi_log_record_processor=LogProcessors(), **options)

    def get_logger(self, *arguments: Any, **options: Any) -> Any:
        make = functools.partial(super().get_logger, *arguments, **options)
        return provided(make, sdk_logs.Logger, Logger, NoOpLogger(""))
