"""Log lines on the console and in files, besides what leaves as OTLP.

Taken where records leave the logger provider, so that the request's own line
and events are there too, and whatever configuration of `logging` the app has
stays as it is.
"""

from __future__ import annotations

import logging
import sys
import weakref
from typing import Any, TextIO

from flask.logging import default_handler
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otelflask._internal import event_names, guard
from otelflask._internal.compat.otel_logs import LogRecordProcessor, ReadableLogRecord
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.export.queue import ExportQueue, QueueSizes
from otelflask._internal.instrumentation.logs.capture import record_of
from otelflask._internal.local_output.lines import LineFormat, Whose, whose
from otelflask._internal.sdk.log_records import Raised
from otelflask._internal.settings import SettingError, Settings

#: Error reports and their counts: the line of whoever logged the error is there already.
_LEFT_OUT = frozenset({*event_names.REPORTS, event_names.ERROR_GROUP})


_OWN_SCOPE = InstrumentationScope(guard.logger.name)
#: Logger providers whose lines are on the console already.
_with_console: weakref.WeakSet[Any] = weakref.WeakSet()


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


class OwnDiagnostics(logging.Handler):
    """Writes what otelflask says of itself, where no handler of the app's does: it is never sent, so it has no line.

    In the place of `logging`'s last resort; whatever else comes to that has its line by `ConsoleLines`.
    """

    def __init__(self, layout: LineFormat, style: str) -> None:
        super().__init__(logging.WARNING)
        self._limits = layout.limits
        self._make = layout.json if style == "json" else layout.text

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != guard.logger.name:
            return
        guard.attempt(self._write, record, instead=lambda error: self.handleError(record))

    def _write(self, record: logging.LogRecord) -> None:
        item = ReadableLogRecord(record_of(record, self._limits, Raised(record)), Resource.get_empty(), _OWN_SCOPE)
        sys.stderr.write(self._make(item, Whose()) + "\n")
        sys.stderr.flush()


def console_style(settings: Settings, debug: bool) -> str:
    """``json``, ``text`` or ``off``: `auto` is for people in development, and for programs elsewhere."""
    if settings.log_console != "auto":
        return settings.log_console
    return "text" if debug or settings.environment == "development" else "json"


def attach_console(pipeline: Pipeline, style: str) -> bool:
    """Write lines to stderr from now on, instead of Flask's handler and `logging`'s last resort.

    Once, however many apps ask for it. In: ``text``, ``json``, or ``off`` for not at all. Out: whether it does so
    from now on.
    """
    if style == "off" or pipeline.logger_provider in _with_console:
        return False
    _with_console.add(pipeline.logger_provider)
    layout = LineFormat(pipeline.scrubber, pipeline.log_limits)
    pipeline.logger_provider.add_log_record_processor(ConsoleLines(layout, style))
    logging.lastResort = OwnDiagnostics(layout, style)
    # It would write each line of an app's logger once more, also of an app that is made later.
    default_handler.addFilter(lambda record: False)
    return True


def attach_files(pipeline: Pipeline, settings: Settings) -> None:
    """Write `app.log` and `error.log` in `log_dir` from now on. Raises SettingError where that cannot be."""
    try:
        from otelflask._internal.local_output import files
    except ImportError:
        raise SettingError(
            f"log_dir is {settings.log_dir!r}, and concurrent-log-handler is not installed; "
            "allowed is `pip install otelflask[files]`, or an empty log_dir"
        ) from None
    layout = LineFormat(pipeline.scrubber, pipeline.log_limits)
    size = settings.log_file_queue_size
    queue = ExportQueue(
        "log lines",
        files.encode(layout, settings.log_file_format),
        files.FileDestination(settings),
        QueueSizes(size, min(100, size), 0.2),
    )
    pipeline.add_queue("logs", queue)
    pipeline.logger_provider.add_log_record_processor(FileLines(queue))
