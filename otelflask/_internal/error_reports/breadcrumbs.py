"""A request's log lines as sentry-sdk's breadcrumbs."""

from __future__ import annotations

import logging
from collections import deque
from datetime import datetime, timezone

from otelflask._internal.current_request import current_record
from otelflask._internal.error_reports.event_attributes import MAX_MESSAGE
from otelflask._internal.error_reports.sentry import MAX_BREADCRUMBS, Event
from otelflask._internal.logging_records import message_of
from otelflask._internal.request_record import PerRequest, RequestRecord

_CONSTANT = (str, int, float, bool, type(None))


def _new_lines() -> deque[tuple[logging.LogRecord, str | None]]:
    return deque(maxlen=MAX_BREADCRUMBS)


#: Log lines with their text, where it may change.
_lines = PerRequest(_new_lines)


def remember(request: RequestRecord, line: logging.LogRecord) -> None:
    """Keep a line in case of an error.

    It is formatted when it is needed, unless its arguments may change before.
    """
    arguments = line.args
    constant = not arguments or (
        isinstance(arguments, tuple) and all(type(argument) in _CONSTANT for argument in arguments)
    )
    _lines.get_or_create(request).append((line, None if constant else message_of(line)[: 4 * MAX_MESSAGE]))


def breadcrumbs(request: RequestRecord | None) -> list[Event]:
    """The lines of a request so far, oldest first."""
    known = _lines.get(request) if request is not None else None
    found = []
    for line, text in list(known or ()):
        moment = datetime.fromtimestamp(line.created, timezone.utc)
        message = text if text is not None else message_of(line)[: 4 * MAX_MESSAGE]
        level = line.levelname.lower()
        found.append({"timestamp": moment, "level": level, "category": line.name, "message": message, "type": "log"})
    return found


def current_breadcrumbs() -> list[Event]:
    """The lines of the current request so far."""
    return breadcrumbs(current_record())
