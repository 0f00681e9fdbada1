"""Log record processors that write lines to the console or to files.

They see what leaves the logger provider, so the request's own line and events are included. The
app's configuration of `logging` stays as it is.
"""

from __future__ import annotations

from typing import Any, TextIO

from otelflask._internal import event_names, guard
from otelflask._internal.compat.otel_logs import LogRecordProcessor
from otelflask._internal.export.queue import ExportQueue
from otelflask._internal.local_output.lines import LineFormat, current_request_info
from otelflask._internal.local_output.standard_error import standard_error

#: Error reports and their counts: the line that logged the error is there already.
_LEFT_OUT = frozenset({*event_names.REPORTS, event_names.ERROR_GROUP})


def _is_line(item: Any) -> bool:
    record = item.log_record
    if record.event_name in _LEFT_OUT:
        return False
    # Werkzeug's access lines: the request's own line has the same content, and more.
    scope = item.instrumentation_scope
    return scope is None or scope.name != "werkzeug" or record.severity_text != "INFO"


class FileLines(LogRecordProcessor):
    """Queues lines for the files. A request never waits for a disk."""

    takes_last = True

    def __init__(self, queue: ExportQueue) -> None:
        self._queue = queue

    def on_emit(self, log_record: Any) -> None:
        if _is_line(log_record):
            self._queue.append((log_record, current_request_info()))

    def shutdown(self) -> None:
        """Do nothing: the pipeline closes the queue."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._queue.flush(timeout_millis / 1000)


class ConsoleLines(LogRecordProcessor):
    """Writes lines to a stream at once, as `logging` does."""

    takes_last = True

    def __init__(self, layout: LineFormat, style: str, stream: TextIO | None = None) -> None:
        self._make = layout.json if style == "json" else layout.text
        self._stream = stream

    @guard.guarded("writing a line to the console")
    def on_emit(self, log_record: Any) -> None:
        if _is_line(log_record):
            stream = self._stream or standard_error()
            stream.write(self._make(log_record, current_request_info()) + "\n")
            stream.flush()

    def shutdown(self) -> None:
        """Do nothing: no line waits."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: no line waits."""
        return True
