"""What one request has met that may become error reports; it is kept until the request ends."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field

from otelflask.errors.candidates import Candidate
from otelflask.errors.engine import Scopes
from otelflask.record import PerRequest


@dataclass(slots=True)
class RequestErrors:
    """Candidates for reports; the log lines before them, each with its text where that may change; the scopes."""

    candidates: list[Candidate] = field(default_factory=list)
    lines: deque[tuple[logging.LogRecord, str | None]] | None = None
    scopes: Scopes | None = None


request_errors = PerRequest(RequestErrors)
