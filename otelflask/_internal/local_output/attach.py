"""Attach the console and the files to a logger provider, in addition to OTLP."""

from __future__ import annotations

import logging
import os
import weakref
from typing import Any

from flask.logging import default_handler

from otelflask._internal import guard
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.export.queue import ExportQueue, QueueOptions
from otelflask._internal.local_output.diagnostics import OwnDiagnostics
from otelflask._internal.local_output.lines import LineFormat
from otelflask._internal.local_output.processors import ConsoleLines, FileLines
from otelflask._internal.settings import SettingError, Settings

#: Logger providers that write to the console already.
_with_console: weakref.WeakSet[Any] = weakref.WeakSet()


def console_style(settings: Settings, debug: bool) -> str:
    """The style of console lines: ``json``, ``text`` or ``off``. `auto` is ``text`` in development, else ``json``."""
    if settings.log_console != "auto":
        return settings.log_console
    return "text" if debug or settings.is_development else "json"


def attach_console(pipeline: Pipeline, style: str) -> bool:
    """Write lines to stderr from now on, in place of Flask's handler and `logging`'s last resort.

    A second call for the same pipeline changes nothing.

    Args:
        pipeline: The pipeline.
        style: ``text``, ``json``, or ``off`` for no lines.

    Returns:
        Whether the console was attached by this call.
    """
    if style == "off" or pipeline.logger_provider in _with_console:
        return False
    _with_console.add(pipeline.logger_provider)
    layout = LineFormat(pipeline.scrubber, pipeline.log_limits)
    pipeline.logger_provider.add_log_record_processor(ConsoleLines(layout, style))
    logging.lastResort = OwnDiagnostics(layout, style)
    # It would write each line of an app's logger again, also of an app that is made later.
    default_handler.addFilter(lambda record: False)
    return True


def attach_files(pipeline: Pipeline, settings: Settings) -> None:
    """Write the files in `log_dir` from now on.

    Raises:
        SettingError: The folder, a name or the format cannot be used.
    """
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
        QueueOptions(size, min(100, size), 0.2),
    )
    _compare_with_handlers(settings)
    pipeline.add_queue("logs", queue)
    pipeline.logger_provider.add_log_record_processor(FileLines(queue))


def _compare_with_handlers(settings: Settings) -> None:
    """Log the files that a handler of the app writes to as well. Each line would be there twice."""
    ours = {
        os.path.abspath(os.path.join(settings.log_dir, name))
        for name in (settings.log_file_name, settings.log_error_file_name)
        if name
    }
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):
            path = getattr(handler, "baseFilename", None)
            if path in ours:
                guard.log(f"file:{path}", "a handler of `logging` writes to %s too, so each line is there twice", path)
