"""The page's queries about statements: one row for each statement, and the repeated ones.

All raise OSError, sqlite3.Error and SettingError (see `MonitorFile.connected`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from otelflask._internal import attribute_names, event_names
from otelflask._internal.live_page.collect.file import MonitorFile
from otelflask._internal.live_page.collect.rows import STATEMENT
from otelflask._internal.live_page.show.repository import ResultPage, Row

#: Columns of statements that can be sorted by, largest first.
STATEMENT_COLUMNS = ("total", "count", "mean", "max", "slow", "rows")
#: The maximum number of statements and of repeated statements that are shown.
MAX_ROWS = 200


class Statements:
    """The queries.

    Args:
        file: The shared file.
        slow_ns: Nanoseconds from which a statement is slow.
    """

    def __init__(self, file: MonitorFile, slow_ns: int) -> None:
        self._file = file
        self._slow_ns = slow_ns

    def found(self, text: str = "", order: str = "total") -> ResultPage:
        """Statements by their text, with their slowest run. Times are in nanoseconds.

        Args:
            text: Words of the summary or text; all must be there.
            order: The one of `STATEMENT_COLUMNS` to sort by, largest first.
        """
        words = text.split()
        searched = """json_extract(body, '$.attributes."db.query.text"', '$.attributes."db.query.summary"')"""
        fits = " AND ".join([f"instr(lower({searched}), lower(?)) > 0"] * len(words)) or "1"
        # A column that is not in GROUP BY is that of the row with the maximum (SQLite, "Bare columns in an aggregate").
        rows = self._file.ask(
            'SELECT body, trace_id, total, count, total / count AS mean, max, slow, "rows", count(*) OVER () '
            'FROM (SELECT id, count(*) AS count, sum(duration) AS total, max(duration) AS max, sum(amount) AS "rows", '
            "sum(duration >= ?) AS slow FROM entries WHERE subject = ? GROUP BY about) AS statements "
            f'JOIN entries USING (id) WHERE {fits} ORDER BY "{order}" DESC, total DESC LIMIT {MAX_ROWS}',
            [self._slow_ns, STATEMENT, *words],
        )
        callers = self._callers()
        routes = self._routes([row[1] for row in rows])
        found = []
        for body, trace_id, *figures in rows:
            span = json.loads(body)
            statement = str(span["attributes"].get("db.query.text", ""))
            found.append(
                {
                    "summary": span["attributes"]["db.query.summary"],
                    "text": statement,
                    "trace_id": trace_id,
                    "span_id": span["span_id"],
                    "caller": callers.get(statement, ""),
                    "route": routes.get(trace_id, ""),
                    **dict(zip(STATEMENT_COLUMNS, figures, strict=False)),
                }
            )
        return ResultPage(found, rows[0][-1] if rows else 0)

    def _routes(self, traces: Sequence[str]) -> dict[str, str]:
        """The routes of requests, by trace id."""
        places = ", ".join("?" * len(traces))
        return dict(self._file.ask(f"SELECT trace_id, route FROM requests WHERE trace_id IN ({places})", list(traces)))

    def _callers(self) -> dict[str, str]:
        """The code location that last ran a statement slowly or repeatedly, by the statement's text."""
        rows = self._file.ask(
            "SELECT body FROM entries WHERE subject IN (?, ?) ORDER BY id DESC LIMIT 1000",
            [event_names.SLOW_QUERY, event_names.REPEATED_QUERY],
        )
        found = [json.loads(body)["attributes"] for (body,) in reversed(rows)]
        return {str(attributes.get("db.query.text", "")): caller(attributes) for attributes in found}

    def repeated(self) -> list[Row]:
        """Repeated statements: the latest record per code location and statement, longest total time first."""
        rows = self._file.ask(
            "SELECT trace_id, body FROM entries WHERE subject = ? ORDER BY id DESC LIMIT 1000",
            [event_names.REPEATED_QUERY],
        )
        found_repetitions: dict[tuple[str, str], Row] = {}
        requests: Counter[tuple[str, str]] = Counter()
        for trace_id, body in rows:
            line = json.loads(body)
            key = (caller(line["attributes"]), str(line["attributes"].get("db.query.text", "")))
            requests[key] += 1
            found_repetitions.setdefault(key, {"trace_id": trace_id, **line})
        found = [{**line, "caller": key[0], "requests": requests[key]} for key, line in found_repetitions.items()]
        found.sort(key=lambda line: line["attributes"][attribute_names.QUERY_DURATION], reverse=True)
        return found[:MAX_ROWS]


def caller(attributes: Row) -> str:
    """The code location in the ``code.*`` attributes, as ``file:line``; empty where there is none."""
    path = str(attributes.get("code.file.path", ""))
    return f"{path.rpartition('/')[2]}:{attributes.get('code.line.number', '')}" if path else ""
