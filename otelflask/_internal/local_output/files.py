"""Log files, by default `app.log` and `error.log`: rotated by size, shared by the workers, written by their own thread.

The queue is one of the pipeline's, so lines that do not fit are counted like other telemetry.
Rotation between processes comes from concurrent-log-handler.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from concurrent_log_handler import ConcurrentRotatingFileHandler

from otelflask._internal.export.destinations import SendResult
from otelflask._internal.lifecycle import greenlets
from otelflask._internal.local_output.lines import LineFormat, RequestInfo
from otelflask._internal.local_output.logging_format import LoggingFormat
from otelflask._internal.settings import SettingError, Settings

#: The severity (OpenTelemetry's ERROR) from which a line is in the file of errors too.
ERROR = 17


@dataclass
class Lines:
    """The text that one write adds to each file."""

    app: list[str] = field(default_factory=list)
    error: list[str] = field(default_factory=list)


def encode(layout: LineFormat, style: str) -> Any:
    """A function that makes `Lines` of queued records.

    Args:
        layout: The format.
        style: ``json``, ``text`` or a format of `logging`.

    Raises:
        SettingError: The style cannot be used.
    """
    make = {"json": layout.json, "text": layout.text}.get(style) or LoggingFormat(layout, style).line

    def encoded(items: Sequence[tuple[Any, RequestInfo]]) -> Lines:
        lines = Lines()
        for item, request in items:
            line = make(item, request)
            lines.app.append(line)
            severity = item.log_record.severity_number
            if severity is not None and severity.value >= ERROR:
                lines.error.append(line)
        return lines

    return encoded


class _RotatingFile(ConcurrentRotatingFileHandler):
    """Writes everything or nothing, and raises where it has not written."""

    def do_write(self, msg: str) -> None:
        if self.stream is None or self.stream.closed:
            self.stream = self.do_open()
        descriptor = self.stream.fileno()
        data = (msg + "\n").encode("utf-8", "backslashreplace")
        # Nobody else writes meanwhile: the lock between processes is held.
        size = os.fstat(descriptor).st_size
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        except OSError:
            # A full disk has taken half a line. Remove it, because the whole batch is written again later.
            os.ftruncate(descriptor, size)
            raise

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        # Within `except`: the caller gets the error.
        raise


class FileDestination:
    """The files as a destination of an export queue.

    Args:
        settings: Settings with `log_dir`.

    Raises:
        SettingError: The folder cannot be written.
    """

    component_type = "otelflask_file_exporter"

    def __init__(self, settings: Settings) -> None:
        self.endpoint = settings.log_dir
        self._settings = settings
        self._names = (settings.log_file_name, settings.log_error_file_name)
        self._files: list[_RotatingFile | None] = []
        if not settings.log_file_name or settings.log_file_name == settings.log_error_file_name:
            raise SettingError(
                f"log_file_name is {settings.log_file_name!r} and log_error_file_name is "
                f"{settings.log_error_file_name!r}; allowed are two different names, or none for errors"
            )
        try:
            os.makedirs(self.endpoint, exist_ok=True)
            for name in filter(None, self._names):
                with open(os.path.join(self.endpoint, name), "ab"):
                    pass
        except OSError as error:
            raise SettingError(
                f"log_dir is {self.endpoint!r}, where {error.filename!r} cannot be written ({error.strerror}); "
                "allowed is a folder that this process can write"
            ) from None
        self.reconnect()

    def reconnect(self) -> None:
        """Open the files again, also in a child: files and locks of the parent are not shared."""
        self._files = [
            _RotatingFile(
                os.path.join(self.endpoint, name),
                maxBytes=self._settings.log_file_size,
                backupCount=self._settings.log_file_count,
                encoding="utf-8",
            )
            if name
            else None
            for name in self._names
        ]

    def send(self, payload: Lines, timeout: float) -> SendResult:
        """Write lines. A full disk is tried again later: then none of the lines is in the file."""
        for file, lines in zip(self._files, (payload.app, payload.error), strict=True):
            if not lines or file is None:
                continue
            try:
                record = logging.LogRecord("", 0, "", 0, "\n".join(lines), None, None)
                greenlets.run_in_threadpool(file.emit, record)
            except OSError as error:
                return SendResult(False, retry=True, error=error.strerror or type(error).__name__)
            # Not again when the other file fails.
            lines.clear()
        return SendResult(True)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            if file is not None:
                file.close()
