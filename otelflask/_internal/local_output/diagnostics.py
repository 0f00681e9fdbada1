"""otelflask's own diagnostics, where no handler of the app writes them."""

from __future__ import annotations

import copy
import logging

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otelflask._internal import guard
from otelflask._internal.compat.otel_logs import ReadableLogRecord
from otelflask._internal.instrumentation.logs.lines import record_of
from otelflask._internal.local_output.lines import LineFormat, RequestInfo
from otelflask._internal.local_output.standard_error import standard_error
from otelflask._internal.logging_records import Raised

_OWN_SCOPE = InstrumentationScope(guard.logger.name)


class OwnDiagnostics(logging.Handler):
    """Writes otelflask's own diagnostics where no handler of the app does. They are never exported.

    It replaces `logging`'s last resort. All other records that reach it are written by `ConsoleLines`.
    """

    def __init__(self, layout: LineFormat, style: str) -> None:
        super().__init__(logging.WARNING)
        self._limits = layout.limits
        self._make = layout.json if style == "json" else layout.text

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != guard.logger.name:
            return
        guard.attempt(self._write, record, on_error=lambda error: self.handleError(record))

    def _write(self, record: logging.LogRecord) -> None:
        record = copy.copy(record)
        # The line has the logger's name.
        record.msg = str(record.msg).removeprefix(guard.PREFIX)
        item = ReadableLogRecord(record_of(record, self._limits, Raised(record)), Resource.get_empty(), _OWN_SCOPE)
        stream = standard_error()
        stream.write(self._make(item, RequestInfo()) + "\n")
        stream.flush()
