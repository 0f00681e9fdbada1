"""Keeps the page's own requests out of the lines of Flask's development server."""

from __future__ import annotations

import logging
import re

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class _OwnLines(logging.Filter):
    """Lets a line of Werkzeug's pass unless it is of the page, answered to who may see it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._below = (f"{path}/", f"{path}?")

    def filter(self, record: logging.LogRecord) -> bool:
        # Such as `127.0.0.1 - - [date] "GET /monitoring/logs HTTP/1.1" 200 -`; colours may stand in it. What a
        # stranger has sent stands there too, so no expression looks for it here and there.
        request, _, status = record.getMessage().partition('"')[2].partition('"')
        words = _COLOUR.sub("", request).split(" ")
        if len(words) != 3 or words[0] not in ("GET", "HEAD") or status.startswith(" 404"):
            return True
        return words[1] != self._path and not words[1].startswith(self._below)


def leave_out_lines_of(path: str) -> None:
    """From now on none of these requests has a line: it would be among the lines that the page shows."""
    logging.getLogger("werkzeug").addFilter(_OwnLines(path.rstrip("/")))
