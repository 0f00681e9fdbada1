"""What one request has met that may become error reports; it is kept until the request ends."""

from __future__ import annotations

import logging
from collections import deque

from otelflask.errors.candidates import Candidate
from otelflask.errors.engine import Scopes
from otelflask.record import PerRequest


class RequestErrors:
    """Candidates for reports; the log lines before them, each with its text where that may change; the scopes."""

    __slots__ = ("candidates", "lines", "scopes")

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self.lines: deque[tuple[logging.LogRecord, str | None]] | None = None
        self.scopes: Scopes | None = None


request_errors = PerRequest(RequestErrors)
