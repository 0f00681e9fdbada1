"""The text and the exception of a record of the `logging` module."""

from __future__ import annotations

import functools
import logging
from collections.abc import Collection

from otelflask._internal import guard
from otelflask._internal.exceptions.walk import Walk, walk
from otelflask._internal.limits import BODY_LENGTH, cut

#: The exception of Celery's pool (billiard) that carries another one, with the text of its stack.
_CARRIER = "ExceptionWithTraceback"


def belongs_to(name: str, packages: Collection[str]) -> bool:
    """Whether a logger belongs to one of these packages. Those of the demo shop do not: it is an app."""
    return name.partition(".")[0] in packages and not name.startswith("otelflask.demo")


def message_of(record: logging.LogRecord) -> str:
    """The record's text, whatever its arguments do when they are formatted."""
    return cut(guard.attempt(record.getMessage, on_error=functools.partial(_unformatted, record.msg)), BODY_LENGTH)


def _unformatted(message: object, error: Exception) -> str:
    return f"{guard.safe_text(message)} [arguments cannot be formatted: {type(error).__name__}]"


class Raised:
    """The exception of a record of `logging`, walked once, on first use."""

    __slots__ = ("_is_known", "_record", "_walk")

    def __init__(self, record: logging.LogRecord) -> None:
        self._record = record
        self._is_known = False
        self._walk: Walk | None = None

    @property
    def walk(self) -> Walk | None:
        """The walk of the exception; None where the record has no exception."""
        if not self._is_known:
            self._is_known = True
            given = self._record.exc_info
            error = given[1] if isinstance(given, tuple) and len(given) > 1 else None
            if type(error).__name__ == _CARRIER:
                error = getattr(error, "exc", error)
            self._walk = walk(error) if isinstance(error, BaseException) else None
        return self._walk
