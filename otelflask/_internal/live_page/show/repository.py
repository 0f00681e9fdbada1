"""The page's queries of the shared file.

All raise OSError, sqlite3.Error and SettingError (see `MonitorFile.connected`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from otelflask._internal import attribute_names, event_names
from otelflask._internal.compat.otel_api import SeverityNumber
from otelflask._internal.live_page.collect.file import MonitorFile
from otelflask._internal.live_page.collect.store import REQUEST_COLUMNS
from otelflask._internal.live_page.collect.time_series import Slot
from otelflask._internal.live_page.collect.worker_stats import WorkerStat

#: Events that are not shown among the log records.
NOT_LOG_LINES = (event_names.REQUEST, *event_names.REPORTS, event_names.ERROR_GROUP)
#: Whether an entry is one of the other log records.
_IS_LINE = f"kind = 'log' AND subject NOT IN ({', '.join('?' * len(NOT_LOG_LINES))})"
#: The severity number of ERROR.
ERROR = SeverityNumber.ERROR.value
#: Intervals of a group's trend over the last hour.
TREND_INTERVALS = 30
#: The maximum number of groups that are shown.
MAX_ROWS = 200

#: Whether a request's row, and the traces whose report, has a text.
_IN_ROW = "instr(lower(path || ' ' || error || ' ' || message || ' ' || user || ' ' || trace_id), lower(?)) > 0"
_REPORTED = "SELECT trace_id FROM entries WHERE subject IN (?, ?) AND instr(lower(body), lower(?)) > 0"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ResultPage:
    """Rows, and the number of all rows that match the filters."""

    rows: list[Row]
    total: int


@dataclass(frozen=True, slots=True)
class IdRange:
    """Rows with an id above `after`, and below `before` if that is not 0; at most `limit`."""

    after: int = 0
    before: int = 0
    limit: int = 200


class Repository:
    """The queries.

    Args:
        file: The shared file.
    """

    def __init__(self, file: MonitorFile) -> None:
        self.file = file

    def requests(
        self, window: IdRange, *, route: str = "", status: str = "", min_duration_ns: int = 0, text: str = ""
    ) -> ResultPage:
        """Requests that match the filters, newest first.

        Args:
            window: The range of rows.
            route: The route; empty for all.
            status: A status, or a class such as ``5xx``; empty for all.
            min_duration_ns: The minimum duration in nanoseconds.
            text: A part of the path, error, user or trace id, or of the error's report.

        Returns:
            The rows, with `reason`: what is known about why a request failed, as text.
        """
        where: list[str] = []
        values: list[Any] = []
        if route:
            where.append("route = ?")
            values.append(route)
        if status.endswith("xx") and status[:1].isdigit():
            where.append("status / 100 = ?")
            values.append(int(status[0]))
        elif status.isdigit():
            where.append("status = ?")
            values.append(int(status))
        if min_duration_ns:
            where.append("duration >= ?")
            values.append(min_duration_ns)
        if text:
            where.append(f"({_IN_ROW} OR trace_id IN ({_REPORTED}))")
            values += [text, *event_names.REPORTS, text]
        found = self._listed("requests", ", ".join(REQUEST_COLUMNS), where, values, window)
        rows = [dict(zip(REQUEST_COLUMNS, row, strict=True)) for row in found[0]]
        reasons = self._reasons([row["trace_id"] for row in rows if row["status"] >= 500 or row["error"]])
        for row in rows:
            error = "" if row["error"].isdigit() else row["error"].rpartition(".")[2]
            row["reason"] = reasons.get(row["trace_id"], row["message"] or error)
        return ResultPage(rows, found[1])

    def _reasons(self, trace_ids: list[str]) -> dict[str, str]:
        """The error of each trace that has a report, such as ``KeyError: 'lamp'``."""
        found = {}
        for trace_id, body in self.file.ask(
            f"SELECT trace_id, body FROM entries WHERE trace_id IN ({', '.join('?' * len(trace_ids))}) "
            "AND subject IN (?, ?) ORDER BY id",
            [*trace_ids, *event_names.REPORTS],
        ):
            report = json.loads(body)
            values = report["attributes"]
            name = str(values.get("exception.type", "")).rpartition(".")[2]
            found[trace_id] = f"{name}: {values.get('exception.message', '')}".strip(": ") if name else report["text"]
        return found

    def routes(self) -> list[str]:
        """The routes with requests, by name."""
        return [row[0] for row in self.file.ask("SELECT DISTINCT route FROM requests WHERE route <> '' ORDER BY route")]

    def loggers(self) -> list[str]:
        """The loggers with lines, by name."""
        query = f"SELECT DISTINCT about FROM entries WHERE {_IS_LINE} AND about <> '' ORDER BY about"
        return [row[0] for row in self.file.ask(query, NOT_LOG_LINES)]

    def lines(self, window: IdRange, *, min_severity: int = 0, logger: str = "", text: str = "") -> ResultPage:
        """Log records, newest first, except request logs, error reports and their counts.

        Args:
            window: The range of rows.
            min_severity: The minimum severity number.
            logger: The logger, or with a ``-`` before it the logger that is left out; empty for all.
            text: A part of the line, its fields or its trace id.

        Returns:
            The rows, with `group`: the error that the request of an ERROR line reported, or an empty text.
        """
        where = [_IS_LINE, "severity >= ?"]
        values: list[Any] = [*NOT_LOG_LINES, min_severity]
        if logger:
            where.append("about <> ?" if logger.startswith("-") else "about = ?")
            values.append(logger.removeprefix("-"))
        if text:
            where.append("instr(lower(body || trace_id), lower(?)) > 0")
            values.append(text)
        found, total = self._listed("entries", "id, trace_id, severity, body", where, values, window)
        groups = self._groups([trace_id for _, trace_id, severity, _ in found if trace_id and severity >= ERROR])
        rows = [
            {
                "id": key,
                "trace_id": trace_id,
                "group": groups.get(trace_id, "") if severity >= ERROR else "",
                **json.loads(body),
            }
            for key, trace_id, severity, body in found
        ]
        return ResultPage(rows, total)

    def _groups(self, trace_ids: list[str]) -> dict[str, str]:
        """The group of the last report of each trace that has one."""
        query = (
            f"SELECT trace_id, about FROM entries WHERE trace_id IN ({', '.join('?' * len(trace_ids))}) "
            "AND subject IN (?, ?) ORDER BY id"
        )
        return dict(self.file.ask(query, [*trace_ids, *event_names.REPORTS]))

    def _listed(
        self, table: str, columns: str, where: list[str], values: list[Any], window: IdRange
    ) -> tuple[list[Any], int]:
        fits = " AND ".join(where) or "1"
        query = f"SELECT {columns} FROM {table} WHERE {fits} AND id > ?"
        asked: list[Any] = [*values, window.after]
        if window.before:
            query += " AND id < ?"
            asked.append(window.before)
        rows = self.file.ask(f"{query} ORDER BY id DESC LIMIT ?", [*asked, window.limit])
        return rows, self.file.ask(f"SELECT count(*) FROM {table} WHERE {fits}", values)[0][0]

    def jobs(self, window: IdRange, *, name: str = "", min_severity: int = 0, text: str = "") -> ResultPage:
        """Runs of jobs and commands that have ended, newest first.

        Args:
            window: The range of rows.
            name: The job; empty for all.
            min_severity: The minimum severity number of its record.
            text: A part of the record or of its trace id.
        """
        where = ["kind = 'log'", "subject = ?", "severity >= ?"]
        values: list[Any] = [event_names.JOB, min_severity]
        if name:
            where.append("about = ?")
            values.append(name)
        if text:
            where.append("instr(lower(body || trace_id), lower(?)) > 0")
            values.append(text)
        found, total = self._listed("entries", "id, trace_id, body", where, values, window)
        return ResultPage([{"id": key, "trace_id": trace, **json.loads(body)} for key, trace, body in found], total)

    def job_names(self) -> list[str]:
        """The jobs and commands that have run, by name."""
        query = "SELECT DISTINCT about FROM entries WHERE kind = 'log' AND subject = ? ORDER BY about"
        return [row[0] for row in self.file.ask(query, [event_names.JOB])]

    def oldest(self) -> int | None:
        """The start of the oldest request that is kept, in epoch nanoseconds; None without any."""
        found: int | None = self.file.ask("SELECT min(time) FROM requests")[0][0]
        return found

    def errors(self, now: float, text: str = "") -> ResultPage:
        """Groups of error reports, latest first: how often, since when, and their trend over the last hour.

        Args:
            now: Epoch seconds.
            text: A part of the title, route or message.
        """
        width = 3_600_000_000_000 // TREND_INTERVALS
        now_ns = int(now * 1e9)
        trends: dict[str, list[int]] = {}
        for about, part, count in self.file.ask(
            "SELECT about, (? - time) / ?, sum(amount) FROM entries WHERE subject = ? AND time > ? GROUP BY 1, 2",
            [now_ns, width, event_names.ERROR_GROUP, now_ns - TREND_INTERVALS * width],
        ):
            trends.setdefault(about, [0] * TREND_INTERVALS)[
                TREND_INTERVALS - 1 - min(max(part, 0), TREND_INTERVALS - 1)
            ] += count
        # Counts of a running minute come at its end. Until then the number of reports may be higher.
        reported = {
            about: (count, last, body)
            for about, count, last, body in self.file.ask(
                # The body is that of the row with the maximum (SQLite, "Bare columns in an aggregate").
                "SELECT about, count(*), max(time), body FROM entries WHERE subject IN (?, ?) GROUP BY about",
                event_names.REPORTS,
            )
        }
        rows = self.file.ask(
            "SELECT about, sum(amount), min(time), max(time), max(id) FROM entries WHERE subject = ? GROUP BY about",
            [event_names.ERROR_GROUP],
        )
        bodies = self._bodies([row[4] for row in rows])
        found = []
        for about, count, first, last, last_id in rows:
            reports, last_report, report = reported.get(about, (0, 0, "{}"))
            latest = bodies[last_id]["attributes"]
            found.append(
                {
                    "fingerprint": about,
                    "count": max(count, reports),
                    "first_seen": first,
                    "last_seen": max(last, last_report),
                    "trend": trends.get(about, [0] * TREND_INTERVALS),
                    "title": latest.get(attribute_names.ERROR_GROUP, about),
                    "route": latest.get("http.route", ""),
                    "message": json.loads(report).get("attributes", {}).get("exception.message", ""),
                }
            )
        found = [row for row in found if text.lower() in f"{row['title']} {row['route']} {row['message']}".lower()]
        return ResultPage(sorted(found, key=lambda row: -row["last_seen"])[:MAX_ROWS], len(found))

    def reports(self, fingerprint: str) -> list[Row]:
        """The latest reports of a group, at most ten."""
        rows = self.file.ask(
            "SELECT id, trace_id, body FROM entries WHERE subject IN (?, ?) AND about = ? ORDER BY id DESC LIMIT 10",
            [*event_names.REPORTS, fingerprint],
        )
        return [{"id": key, "trace_id": trace, **json.loads(body)} for key, trace, body in rows]

    def state(self, trace_id: str = "") -> str:
        """A text that changes with each new row, of one trace or of all."""
        where, values = ("WHERE trace_id = ?", [trace_id]) if trace_id else ("", [])
        ((newest,),) = self.file.ask(f"SELECT max(id) FROM entries {where}", values)
        return f"{self.file.generation}.{newest or 0}"

    def trace(self, trace_id: str) -> list[Row]:
        """The rows of a trace, by time; at equal times spans before log records."""
        rows = self.file.ask(
            "SELECT kind, body FROM entries WHERE trace_id = ? ORDER BY time, kind = 'log', id", [trace_id]
        )
        return [{"is": kind, **json.loads(body)} for kind, body in rows]

    def route_slots(self, since: int) -> list[tuple[int, str, Slot]]:
        """The counts of all workers after a slot: slot, route, counts."""
        found: dict[tuple[int, str], Slot] = {}
        query = "SELECT slot, route, count, failed, total, buckets FROM route_slots WHERE slot > ?"
        for number, route, count, failed, total, buckets in self.file.ask(query, [since]):
            counts = Counter({int(bucket): n for bucket, n in json.loads(buckets).items()})
            found.setdefault((number, route), Slot()).add(Slot(count, failed, total, counts))
        return [(number, route, slot) for (number, route), slot in found.items()]

    def worker_stats(self, since: int) -> list[tuple[str, int, WorkerStat]]:
        """The state of each worker from a slot on: worker, slot, state, by slot."""
        rows = self.file.ask("SELECT * FROM worker_stats WHERE slot >= ? ORDER BY slot", [since])
        return [(worker, number, WorkerStat(*values)) for worker, number, *values in rows]

    def processes(self, since: float) -> list[Row]:
        """The workers that have written their description after `since` (epoch seconds)."""
        rows = self.file.ask("SELECT time, body FROM processes WHERE time > ? ORDER BY worker", [since])
        return [{"time": time, **json.loads(body)} for time, body in rows]

    def _bodies(self, ids: Sequence[int]) -> dict[int, Row]:
        rows = self.file.ask(f"SELECT id, body FROM entries WHERE id IN ({', '.join('?' * len(ids))})", list(ids))
        return {key: json.loads(body) for key, body in rows}
