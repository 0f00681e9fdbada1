"""Lines in a format of `logging`, such as ``%(asctime)s %(levelname)s: %(message)s [in %(pathname)s:%(lineno)d]``.

`logging.Formatter` writes them. A record's values are masked and bounded as in the other formats,
and none can break or forge a line.
"""

from __future__ import annotations

import logging
from typing import Any

from otelflask._internal.local_output.lines import LineFormat, RequestInfo, extras, shown
from otelflask._internal.settings import SettingError

#: OpenTelemetry's names of levels that `logging` names otherwise.
_LEVELS = {"WARN": "WARNING", "FATAL": "CRITICAL"}
#: Values of `logging` that are not known where a line is written.
_UNKNOWN = ("thread", "threadName", "taskName", "processName", "relativeCreated", "args", "exc_info", "stack_info")
#: Values besides those of `logging`.
_OF_REQUEST = ("event", "trace_id", "span_id", "request_id", "method", "path", "client", "user")
#: The values of ``extra=`` and of events, as ``name=value``.
_EXTRA = "extra"


class LoggingFormat:
    """Formats log records by a format of `logging`.

    Args:
        layout: Masks and bounds what a record has.
        text: The format.

    Raises:
        SettingError: The format cannot be used.
    """

    def __init__(self, layout: LineFormat, text: str) -> None:
        self._layout = layout
        try:
            self._formatter = logging.Formatter(text)
            self._formatter.format(_record({}, "", {}))
        except (ValueError, KeyError, TypeError) as error:
            known = sorted({*_record({}, "", {}).__dict__, "asctime", "message"} - {"msg", "exc_text"})
            raise SettingError(
                f"log_file_format (OTELFLASK_LOG_FILE_FORMAT) is {text!r}, which cannot be used ({error}); allowed are "
                f"json, text, and a format of `logging` with the values {', '.join(known)}; not those of threads"
            ) from None

    def line(self, item: Any, request: RequestInfo) -> str:
        """One line, followed by the stack of an exception, with a bar before each of its lines."""
        head, message, attributes = self._layout.parts(item, request)
        record = _record(head, message, attributes)
        record.created = (item.log_record.timestamp or item.log_record.observed_timestamp) / 1e9
        record.msecs = record.created % 1 * 1000
        return self._formatter.format(record) + self._layout.stack(attributes)


def _record(head: dict[str, str], message: str, attributes: dict[str, Any]) -> logging.LogRecord:
    level = _LEVELS.get(head.get("level", ""), head.get("level", ""))
    number: Any = logging.getLevelName(level)
    record = logging.LogRecord(
        shown(head.get("logger", "")),
        number if isinstance(number, int) else logging.NOTSET,
        # otelflask's own lines have no place in the code.
        shown(attributes.get("code.file.path") or head.get("logger", "")),
        int(attributes.get("code.line.number", 0)),
        shown(message),
        None,
        None,
        shown(attributes.get("code.function.name", "")),
    )
    record.levelname = shown(level)
    for name in _UNKNOWN:
        record.__dict__.pop(name, None)
    # `getMessage` and `format` look for them.
    record.args = record.exc_info = record.stack_info = None
    for name in _OF_REQUEST:
        setattr(record, name, shown(head.get(name, "")))
    setattr(record, _EXTRA, extras(attributes))
    return record
