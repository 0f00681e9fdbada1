"""Keep the page's own requests out of the log of Flask's development server."""

from __future__ import annotations

import logging
import re

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class _OwnLines(logging.Filter):
    """Drops Werkzeug's lines about successful requests of the page."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._below = (f"{path}/", f"{path}?")

    def filter(self, record: logging.LogRecord) -> bool:
        # Such as `127.0.0.1 - - [date] "GET /monitoring/logs HTTP/1.1" 200 -`, perhaps with colours. A line contains
        # untrusted text, so no expression searches it.
        request, _, status = record.getMessage().partition('"')[2].partition('"')
        words = _COLOUR.sub("", request).split(" ")
        if len(words) != 3 or words[0] not in ("GET", "HEAD") or status.startswith(" 404"):
            return True
        return words[1] != self._path and not words[1].startswith(self._below)


def leave_out_lines_of(path: str) -> None:
    """Drop the lines of requests below this path. The page would show them among the app's lines."""
    logging.getLogger("werkzeug").addFilter(_OwnLines(path.rstrip("/")))
