"""A request's log lines as sentry-sdk's breadcrumbs."""

from __future__ import annotations

import logging
from collections import deque
from datetime import datetime, timezone

from otelflask.errors.attributes import MAX_MESSAGE
from otelflask.errors.engine import MAX_BREADCRUMBS, Event
from otelflask.http.record import RequestRecord, current_record
from otelflask.pipeline.records import message_of

_CONSTANT = (str, int, float, bool, type(None))


def remember(request: RequestRecord, line: logging.LogRecord) -> None:
    """Keep a line in case of an error.

    Formatted then, unless its arguments may have changed by then.
    """
    if request.trail is None:
        request.trail = deque(maxlen=MAX_BREADCRUMBS)
    arguments = line.args
    constant = not arguments or (
        isinstance(arguments, tuple) and all(type(argument) in _CONSTANT for argument in arguments)
    )
    request.trail.append((line, None if constant else message_of(line)[: 4 * MAX_MESSAGE]))


def breadcrumbs(request: RequestRecord | None) -> list[Event]:
    """The lines before an error, oldest first."""
    if request is None or request.trail is None:
        return []
    found = []
    for line, text in list(request.trail):
        moment = datetime.fromtimestamp(line.created, timezone.utc)
        message = text if text is not None else message_of(line)[: 4 * MAX_MESSAGE]
        level = line.levelname.lower()
        found.append({"timestamp": moment, "level": level, "category": line.name, "message": message, "type": "log"})
    return found


def current_breadcrumbs() -> list[Event]:
    """Those of the request being handled."""
    return breadcrumbs(current_record())
