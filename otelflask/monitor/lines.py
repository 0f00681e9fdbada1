"""Keeps the page's own requests out of the lines of Flask's development server."""

from __future__ import annotations

import logging
import re


class _OwnLines(logging.Filter):
    """Lets a line of Werkzeug's pass unless it is of the page, answered to who may see it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        # Such as `127.0.0.1 - - [date] "GET /monitoring/logs HTTP/1.1" 200 -`; colours may stand in it.
        self._line = re.compile(rf'"[^"]*?(?:GET|HEAD) {re.escape(path)}(?:[/?][^" ]*)? HTTP/[\d.]+[^"]*" (?!404)')

    def filter(self, record: logging.LogRecord) -> bool:
        return self._line.search(record.getMessage()) is None


def leave_out_lines_of(path: str) -> None:
    """From now on none of these requests has a line: it would be among the lines that the page shows."""
    logging.getLogger("werkzeug").addFilter(_OwnLines(path.rstrip("/")))
