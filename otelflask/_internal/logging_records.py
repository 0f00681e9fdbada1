"""The text, the fields and the exception of a record of the `logging` module, whichever library has made it.

structlog's ``ProcessorFormatter`` and python-json-logger take a dictionary in place of the text. loguru puts what is
bound into one extra.
"""

from __future__ import annotations

import functools
import logging
import re
import sys
from collections.abc import Collection, Iterator
from typing import Any

from otelflask._internal import guard
from otelflask._internal.exceptions.walk import Walk, walk
from otelflask._internal.limits import BODY_LENGTH, cut

#: The exception of Celery's pool (billiard) that carries another one, with the text of its stack.
_CARRIER = "ExceptionWithTraceback"
#: The fields of each record.
FIELDS = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None)))
#: structlog's arguments of the text, which its processors may have left.
_ARGUMENTS = "positional_args"
#: Attributes of a record that are not from ``extra=``. Handlers add the last three (``taskName`` until Python 3.11).
_RESERVED = FIELDS | {"message", "asctime", "taskName"}
#: loguru's text of an exception, and where its stack begins in the text of the line.
_OF_LOGURU = "\n"
_STACK = re.compile(r"\n(?:[ +|]|\x1b\[[\d;]*m)*(?:Exception Group )?Traceback \(most recent call last\):")
#: What structlog adds for itself, beside `exc_info`, which is read as an exception.
_NOTHING = frozenset[str]()
_OF_STRUCTLOG = frozenset({"_from_structlog", "_logger", "_name", "_record", _ARGUMENTS, "exc_info"})


def belongs_to(name: str, packages: Collection[str]) -> bool:
    """Whether a logger belongs to one of these packages. Those of the demo shop do not: it is an app."""
    return name.partition(".")[0] in packages and not name.startswith("otelflask.demo")


def message_of(record: logging.LogRecord) -> str:
    """The record's text, whatever its arguments do when they are formatted."""
    return cut(guard.attempt(_text, record, on_error=functools.partial(_unformatted, record.msg)), BODY_LENGTH)


def template_of(record: logging.LogRecord) -> str:
    """The record's text before its arguments are put in."""
    fields = _dictionary_of(record)
    return guard.safe_text(record.msg if fields is None else fields.get(_text_name(record, fields), fields))


def _text(record: logging.LogRecord) -> str:
    fields = _dictionary_of(record)
    if fields is not None:
        text = str(fields.get(_text_name(record, fields), fields))
        return _with_arguments(text, fields.get(_ARGUMENTS)) if _is_structlogs(record) else text
    text = record.getMessage()
    if record.exc_text == _OF_LOGURU:
        # The stack with the values of variables is in its text. The attributes have it with masked values.
        text = _STACK.split(text, maxsplit=1)[0]
    return _with_arguments(text, record.__dict__[_ARGUMENTS]) if _ARGUMENTS in record.__dict__ else text


def _with_arguments(text: str, arguments: Any) -> str:
    """Put in what structlog keeps apart, as its ``PositionalArgumentsFormatter`` does."""
    if not isinstance(arguments, tuple) or not arguments:
        return text
    is_named = len(arguments) == 1 and isinstance(arguments[0], dict)
    return guard.attempt(lambda: text % (arguments[0] if is_named else arguments), on_error=lambda error: text)


def _is_structlogs(record: logging.LogRecord) -> bool:
    """Whether a record comes from structlog's ``ProcessorFormatter.wrap_for_formatter``."""
    return "_logger" in record.__dict__ and "_name" in record.__dict__


def _dictionary_of(record: logging.LogRecord) -> dict[Any, Any] | None:
    """What a record has in place of its text, if that is a dictionary."""
    message: Any = record.msg
    return message if isinstance(message, dict) and not record.args else None


def _text_name(record: logging.LogRecord, fields: dict[Any, Any]) -> str:
    """The name of the text in a dictionary, which may have none: structlog's, or else python-json-logger's."""
    names = ("event",) if _is_structlogs(record) else ("message", "event")
    return next((name for name in names if name in fields), "")


def fields_of(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """The names and values that a record has beside its text: its extras, and those of its dictionary."""
    fields = _dictionary_of(record)
    left_out = _OF_STRUCTLOG if fields is not None and _is_structlogs(record) else _NOTHING
    for name, value in record.__dict__.items():
        if name == "extra" and isinstance(value, dict) and "loguru" in sys.modules:
            yield from ((guard.safe_text(key), each) for key, each in value.items())
        elif name not in _RESERVED and name not in left_out:
            yield name, value
    text = _text_name(record, fields or {})
    for name, value in (fields or {}).items():
        if name != text and name not in left_out:
            yield guard.safe_text(name), value


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
            given = _exception_of(self._record)
            error = given[1] if isinstance(given, tuple) and len(given) > 1 else given
            if type(error).__name__ == _CARRIER:
                error = getattr(error, "exc", error)
            self._walk = walk(error) if isinstance(error, BaseException) else None
        return self._walk


def _exception_of(record: logging.LogRecord) -> Any:
    """What a record says of its exception: a triple as `sys.exc_info`, the exception, or None."""
    given: Any = record.exc_info
    if not given and _is_structlogs(record):
        given = (_dictionary_of(record) or {}).get("exc_info")
    # structlog leaves True, where `logging` puts the triple.
    return sys.exc_info() if given is True else given
