"""`app.log` and `error.log`: rotated by size, shared by the workers, written by a thread of their own.

The queue is the pipeline's, so that what does not fit is counted like
telemetry that does not; rotation between processes is concurrent-log-handler's.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from concurrent_log_handler import ConcurrentRotatingFileHandler

from otelflask._internal.export.destinations import Answer
from otelflask._internal.lifecycle import greenlets
from otelflask._internal.local_output.lines import LineFormat, Whose
from otelflask._internal.settings import SettingError, Settings

#: From this severity on (OpenTelemetry's ERROR) a line is in `error.log` too.
ERROR = 17
NAMES = ("app.log", "error.log")


@dataclass
class Lines:
    """What one write adds to each file."""

    app: list[str] = field(default_factory=list)
    error: list[str] = field(default_factory=list)


def encode(layout: LineFormat, style: str) -> Any:
    """A function that makes `Lines` of queued records. In: the format, and ``json`` or ``text``."""
    make = layout.json if style == "json" else layout.text

    def encoded(items: Sequence[tuple[Any, Whose]]) -> Lines:
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
    """Writes all or nothing, and says by an exception that it did not."""

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
            # A full disk takes a part: half a line, and the whole batch again when there is room.
            os.ftruncate(descriptor, size)
            raise

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        # Within `except`: to whoever writes.
        raise


class FileDestination:
    """The two files, as a destination of the pipeline's queue.

    In: settings with `log_dir`. Raises SettingError where the folder cannot be written.
    """

    component_type = "otelflask_file_exporter"

    def __init__(self, settings: Settings) -> None:
        self.endpoint = settings.log_dir
        self._settings = settings
        self._files: list[_RotatingFile] = []
        try:
            os.makedirs(self.endpoint, exist_ok=True)
            for name in NAMES:
                with open(os.path.join(self.endpoint, name), "ab"):
                    pass
        except OSError as error:
            raise SettingError(
                f"log_dir is {self.endpoint!r}, where {error.filename!r} cannot be written ({error.strerror}); "
                "allowed is a folder that this process can write"
            ) from None
        self.reconnect()

    def reconnect(self) -> None:
        """Open anew, also in a child: the parent's files and locks are its own."""
        self._files = [
            _RotatingFile(
                os.path.join(self.endpoint, name),
                maxBytes=self._settings.log_file_size,
                backupCount=self._settings.log_file_count,
                encoding="utf-8",
            )
            for name in NAMES
        ]

    def send(self, payload: Lines, timeout: float) -> Answer:
        """Write. A disk that is full is tried again: nothing of the lines is in the file then."""
        for file, lines in zip(self._files, (payload.app, payload.error), strict=True):
            if not lines:
                continue
            try:
                record = logging.LogRecord("", 0, "", 0, "\n".join(lines), None, None)
                greenlets.outside(file.emit, record)
            except OSError as error:
                return Answer(False, retry=True, error=error.strerror or type(error).__name__)
            # Not once more where the other file fails.
            lines.clear()
        return Answer(True)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
