"""What one request has met that may become error reports, kept until it ends."""

from __future__ import annotations

import logging
from collections import deque

from otelflask._internal.error_reports.occurrences import Occurrence
from otelflask._internal.request_record import PerRequest


class RequestErrors:
    """Occurrences that may be reported, and log lines (with their text, where it may change)."""

    __slots__ = ("lines", "occurrences")

    def __init__(self) -> None:
        self.occurrences: list[Occurrence] = []
        self.lines: deque[tuple[logging.LogRecord, str | None]] | None = None


request_errors = PerRequest(RequestErrors)
