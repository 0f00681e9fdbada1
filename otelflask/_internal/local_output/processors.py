"""Processors that write log records as lines, on the console or in files.

Taken where records leave the logger provider, so that the request's own line
and events are there too, and whatever configuration of `logging` the app has
stays as it is.
"""

from __future__ import annotations

import sys
from typing import Any, TextIO

from otelflask._internal import event_names, guard
from otelflask._internal.compat.otel_logs import LogRecordProcessor
from otelflask._internal.export.queue import ExportQueue
from otelflask._internal.local_output.lines import LineFormat, whose

#: Error reports and their counts: the line of whoever logged the error is there already.
_LEFT_OUT = frozenset({*event_names.REPORTS, event_names.ERROR_GROUP})


def _is_line(item: Any) -> bool:
    record = item.log_record
    if record.event_name in _LEFT_OUT:
        return False
    # Werkzeug's access lines: the request's own says the same, and more.
    scope = item.instrumentation_scope
    return scope is None or scope.name != "werkzeug" or record.severity_text != "INFO"


class FileLines(LogRecordProcessor):
    """Queues lines for the files; a request never waits for a disk."""

    def __init__(self, queue: ExportQueue) -> None:
        self._queue = queue

    def on_emit(self, log_record: Any) -> None:
        if _is_line(log_record):
            self._queue.append((log_record, whose()))

    def shutdown(self) -> None:
        """The queue is the pipeline's to close."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._queue.flush(timeout_millis / 1000)


class ConsoleLines(LogRecordProcessor):
    """Writes lines to a stream at once, as `logging` does."""

    def __init__(self, layout: LineFormat, style: str, stream: TextIO | None = None) -> None:
        self._make = layout.json if style == "json" else layout.text
        self._stream = stream

    @guard.guarded("writing a line to the console")
    def on_emit(self, log_record: Any) -> None:
        if _is_line(log_record):
            stream = self._stream or sys.stderr
            stream.write(self._make(log_record, whose()) + "\n")
            stream.flush()

    def shutdown(self) -> None:
        """Nothing is waiting."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is waiting."""
        return True
