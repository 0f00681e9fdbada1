"""What one request has met that may become error reports; it is kept until the request ends."""

from __future__ import annotations

import logging
from collections import deque

from otelflask._internal.error_reports.occurrences import Occurrence
from otelflask._internal.error_reports.sentry import Scopes
from otelflask._internal.request_record import PerRequest


class RequestErrors:
    """Occurrences that may be reported; log lines, each with its text where that may change; the scopes."""

    __slots__ = ("lines", "occurrences", "scopes")

    def __init__(self) -> None:
        self.occurrences: list[Occurrence] = []
        self.lines: deque[tuple[logging.LogRecord, str | None]] | None = None
        self.scopes: Scopes | None = None


request_errors = PerRequest(RequestErrors)
