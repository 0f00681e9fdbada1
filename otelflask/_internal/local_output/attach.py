"""Turns log lines on the console and in files on, besides what leaves as OTLP."""

from __future__ import annotations

import logging
import weakref
from typing import Any

from flask.logging import default_handler

from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.export.queue import ExportQueue, QueueSizes
from otelflask._internal.local_output.diagnostics import OwnDiagnostics
from otelflask._internal.local_output.lines import LineFormat
from otelflask._internal.local_output.processors import ConsoleLines, FileLines
from otelflask._internal.settings import SettingError, Settings

#: Logger providers whose lines are on the console already.
_with_console: weakref.WeakSet[Any] = weakref.WeakSet()


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
