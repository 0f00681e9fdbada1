"""What the workers of one server have seen, in a local SQLite file: written only while somebody looks.

Each worker writes its own rows, in batches, off the request path. One rising
number over all of them is the page's cursor. The file is bounded: ordinary
requests go before those that failed or were slow.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import Any

from otelflask.monitor.encoding import Entry, Request
from otelflask.monitor.tiles import SLOT_S, SLOTS, Slot
from otelflask.pipeline.state import check_folder, server_id

_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT UNIQUE, time INTEGER, duration INTEGER, method TEXT, route TEXT,
    path TEXT, status INTEGER, queries INTEGER, query_time REAL, error TEXT, user TEXT, pid INTEGER, notable INTEGER
);
CREATE INDEX IF NOT EXISTS requests_notable ON requests (notable, id);
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, trace_id TEXT, time INTEGER, duration INTEGER, name TEXT,
    subject TEXT, severity INTEGER, body TEXT, pid INTEGER, key TEXT UNIQUE
);
CREATE INDEX IF NOT EXISTS entries_trace ON entries (trace_id);
CREATE INDEX IF NOT EXISTS entries_kind ON entries (kind, id);
CREATE TABLE IF NOT EXISTS tiles (
    pid INTEGER, slot INTEGER, route TEXT, count INTEGER, failed INTEGER, total REAL, buckets TEXT,
    PRIMARY KEY (pid, slot, route)
);
CREATE TABLE IF NOT EXISTS processes (
    pid INTEGER PRIMARY KEY, time REAL, cpu REAL, memory INTEGER, threads INTEGER, waiting INTEGER
);
"""
_REQUEST_COLUMNS = [
    "id",
    "trace_id",
    "time",
    "duration",
    "method",
    "route",
    "path",
    "status",
    "queries",
    "query_time",
    "error",
    "user",
    "pid",
]
#: Events of other rooms, which are shown elsewhere than among the lines.
REPORT_EVENTS = ("exception", "otelflask.message")
GROUP_EVENT = "otelflask.error_group"
REPEATED_EVENT = "otelflask.repeated_query"
NOT_LINES = ("http.server.request", *REPORT_EVENTS, GROUP_EVENT)
_OF_GROUP = "json_extract(body, '$.attributes.\"otelflask.error.fingerprint\"')"
_INSERT_ENTRY = (
    "INSERT OR IGNORE INTO entries (kind, trace_id, time, duration, name, subject, severity, body, pid, key) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_REQUEST = (
    f"INSERT OR IGNORE INTO requests ({', '.join(_REQUEST_COLUMNS[1:])}, notable) "
    f"VALUES ({', '.join('?' * len(_REQUEST_COLUMNS))})"
)
#: Parts of the last hour that a group's trend has.
TREND = 30
#: Requests that are kept, of all workers together.
MAX_REQUESTS = 10_000
#: Seconds that a write waits for another worker's.
BUSY_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A worker now: epoch seconds, share of a processor, bytes, threads, and items that wait to be sent."""

    time: float
    cpu: float
    memory: int
    threads: int
    waiting: int


class MonitorStore:
    """One file for the workers of a server.

    In: a folder of this user's, made when somebody looks; what the workers of
    one app have in common; from how many ns on a request is slow; how many
    requests are kept.
    """

    def __init__(self, folder: str, service: str, slow_ns: int, requests: int = MAX_REQUESTS) -> None:
        self._folder = folder
        self._service = hashlib.blake2b(service.encode(), digest_size=8).hexdigest()
        self._requests = requests
        self._slow_ns = slow_ns
        self._connections = threading.local()

    @functools.cached_property
    def path(self) -> str:
        """The file's; asked for in a worker, whose parent is the server."""
        return os.path.join(self._folder, f"monitor-{self._service}-{server_id()}.sqlite3")

    def look(self) -> None:
        """Somebody looks: all workers see it by the time of a file's change. Raises OSError and SettingError."""
        check_folder(self._folder)
        with open(f"{self.path}.viewer", "ab"):
            os.utime(f"{self.path}.viewer")

    def looked_at(self) -> float:
        """Epoch seconds of the last look; 0 where nobody has looked."""
        try:
            return os.stat(f"{self.path}.viewer").st_mtime
        except OSError:
            return 0.0

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, opened in this process: one that was open before a fork is not ours."""
        known = getattr(self._connections, "known", None)
        if known is None or known[0] != os.getpid():
            connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            os.chmod(self.path, 0o600)
            connection.execute("PRAGMA journal_mode = WAL")
            # What a crash of the machine would lose is lost with the processes anyway.
            connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(_SCHEMA)
            known = self._connections.known = (os.getpid(), connection)
        yield known[1]

    def close(self) -> None:
        """Close this thread's connection."""
        known = getattr(self._connections, "known", None)
        if known is not None and known[0] == os.getpid():
            with contextlib.suppress(sqlite3.Error):
                known[1].close()
        self._connections.known = None

    def write(self, rows: Iterable[tuple[Entry, Request | None]], pid: int) -> None:
        """Add rows; one that is there already stays as it is. Raises sqlite3.Error where it cannot be written."""
        entries, requests = [], []
        for entry, request in rows:
            # The same in each process, so that a row that comes twice is there once.
            key = hashlib.blake2b(f"{entry.kind}{entry.trace_id}{entry.body}".encode(), digest_size=12).hexdigest()
            entries.append((*astuple(entry), pid, key))
            if request is not None:
                notable = request.status >= 500 or bool(request.error) or request.duration >= self._slow_ns
                requests.append((*astuple(request), pid, int(notable)))
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.executemany(_INSERT_ENTRY, entries)
                connection.executemany(_INSERT_REQUEST, requests)
                self._forget(connection)
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def write_tiles(self, slots: Iterable[tuple[int, str, Slot]], state: ProcessState, pid: int) -> None:
        """Add what a worker has counted, and how it is. Raises sqlite3.Error where it cannot be written."""
        rows = [
            (pid, number, route, slot.count, slot.failed, slot.total, json.dumps(slot.buckets))
            for number, route, slot in slots
        ]
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO tiles VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            connection.execute("INSERT OR REPLACE INTO processes VALUES (?, ?, ?, ?, ?, ?)", (pid, *astuple(state)))
            connection.execute("DELETE FROM tiles WHERE slot <= ?", (int(state.time) // SLOT_S - SLOTS,))
            connection.execute("COMMIT")

    def tiles(self, since: int) -> list[tuple[int, str, Slot]]:
        """What all workers together have counted since a slot: its number, route, and counts."""
        found: dict[tuple[int, str], Slot] = {}
        query = "SELECT slot, route, count, failed, total, buckets FROM tiles WHERE slot > ?"
        for number, route, count, failed, total, buckets in self._ask(query, [since]):
            found.setdefault((number, route), Slot()).add(Slot(count, failed, total, json.loads(buckets)))
        return [(number, route, slot) for (number, route), slot in found.items()]

    def processes(self, since: float) -> list[dict[str, Any]]:
        """Workers that have said how they are since then (epoch seconds)."""
        names = ("pid", "time", "cpu", "memory", "threads", "waiting")
        rows = self._ask("SELECT * FROM processes WHERE time > ? ORDER BY pid", [since])
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _forget(self, connection: sqlite3.Connection) -> None:
        """Let the oldest requests go, with all that belongs to them: ordinary ones first."""
        (count,) = connection.execute("SELECT count(*) FROM requests").fetchone()
        excess = count - self._requests
        # Some at a time, and not at each write.
        if excess > self._requests // 20:
            gone = connection.execute(
                "SELECT trace_id FROM requests ORDER BY notable, id LIMIT ?", (excess,)
            ).fetchall()
            connection.executemany("DELETE FROM entries WHERE trace_id = ?", gone)
            connection.executemany("DELETE FROM requests WHERE trace_id = ?", gone)
            # Lines and spans outside of requests: as many as there are requests.
            connection.execute(
                "DELETE FROM entries WHERE id < (SELECT max(id) FROM entries) - ? AND trace_id NOT IN "
                "(SELECT trace_id FROM requests)",
                (20 * self._requests,),
            )

    def requests(
        self,
        *,
        after: int = 0,
        before: int | None = None,
        route: str = "",
        status: str = "",
        least_ns: int = 0,
        text: str = "",
        limit: int = 200,
    ) -> list[dict[str, Any]]:
        """Requests, newest first.

        In: ids between which they lie, and filters; `status` is one, or a class such as ``5xx``.
        """
        where, values = ["id > ?"], [after]
        if before is not None:
            where.append("id < ?")
            values.append(before)
        if route:
            where.append("route = ?")
            values.append(route)  # type: ignore[arg-type]
        if status.endswith("xx") and status[:1].isdigit():
            where.append("status / 100 = ?")
            values.append(int(status[0]))
        elif status.isdigit():
            where.append("status = ?")
            values.append(int(status))
        if least_ns:
            where.append("duration >= ?")
            values.append(least_ns)
        if text:
            where.append("instr(lower(path || ' ' || error || ' ' || user || ' ' || trace_id), lower(?)) > 0")
            values.append(text)  # type: ignore[arg-type]
        query = (
            f"SELECT {', '.join(_REQUEST_COLUMNS)} FROM requests WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
        )
        return [dict(zip(_REQUEST_COLUMNS, row, strict=True)) for row in self._ask(query, [*values, limit])]

    def routes(self) -> list[str]:
        """Routes that have requests, by name."""
        return [row[0] for row in self._ask("SELECT DISTINCT route FROM requests WHERE route <> '' ORDER BY route", [])]

    def logs(
        self, *, after: int = 0, least_severity: int = 0, text: str = "", limit: int = 200
    ) -> list[dict[str, Any]]:
        """Log lines, newest first: not the requests' own, which are requests, and no reports, which are errors."""
        where = "kind = 'log' AND id > ? AND severity >= ? AND subject NOT IN (?, ?, ?, ?)"
        values: list[Any] = [after, least_severity, *NOT_LINES]
        if text:
            where += " AND instr(lower(name), lower(?)) > 0"
            values.append(text)
        query = f"SELECT id, trace_id, body FROM entries WHERE {where} ORDER BY id DESC LIMIT ?"
        return [
            {"id": key, "trace_id": trace, **json.loads(body)}
            for key, trace, body in self._ask(query, [*values, limit])
        ]

    def errors(self, now: float) -> list[dict[str, Any]]:
        """Groups of error reports, the latest first: how often, since when. In: epoch seconds."""
        rows = self._ask(
            f"SELECT {_OF_GROUP}, max(json_extract(body, '$.attributes.\"otelflask.error.group\"')), "
            "sum(json_extract(body, '$.attributes.\"otelflask.error.count\"')), min(time), max(time) "
            "FROM entries WHERE kind = 'log' AND subject = ? GROUP BY 1 ORDER BY 5 DESC LIMIT 200",
            [GROUP_EVENT],
        )
        names = ("fingerprint", "title", "count", "first_seen", "last_seen")
        trends = self._trends(int(now * 1e9))
        return [dict(zip(names, row, strict=True)) | {"trend": trends.get(row[0], [0] * TREND)} for row in rows]

    def _trends(self, now_ns: int) -> dict[str, list[int]]:
        """How often each group occurred in each part of the last hour, the newest last."""
        width = 3_600_000_000_000 // TREND
        rows = self._ask(
            f"SELECT {_OF_GROUP}, (? - time) / ?, sum(json_extract(body, '$.attributes.\"otelflask.error.count\"')) "
            "FROM entries WHERE kind = 'log' AND subject = ? AND time > ? GROUP BY 1, 2",
            [now_ns, width, GROUP_EVENT, now_ns - TREND * width],
        )
        trends: dict[str, list[int]] = {}
        for fingerprint, part, count in rows:
            trends.setdefault(fingerprint, [0] * TREND)[TREND - 1 - min(max(part, 0), TREND - 1)] += count
        return trends

    def report(self, fingerprint: str) -> dict[str, Any] | None:
        """The last whole report of a group; None where there is none any more."""
        rows = self._ask(
            f"SELECT trace_id, body FROM entries WHERE kind = 'log' AND subject IN (?, ?) AND {_OF_GROUP} = ? "
            "ORDER BY id DESC LIMIT 1",
            [*REPORT_EVENTS, fingerprint],
        )
        return {"trace_id": rows[0][0], **json.loads(rows[0][1])} if rows else None

    def queries(self) -> list[dict[str, Any]]:
        """Statements by their summary, those that took most time together first; times in ns."""
        rows = self._ask(
            "SELECT subject, count(*), sum(duration), max(duration), sum(duration >= ?), "
            "max(json_extract(body, '$.attributes.\"db.query.text\"')) "
            "FROM entries WHERE kind = 'span' AND subject <> '' GROUP BY subject ORDER BY 3 DESC LIMIT 200",
            [self._slow_ns],
        )
        names = ("summary", "count", "total", "max", "slow", "text")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def repeated(self) -> list[dict[str, Any]]:
        """What single requests ran again and again, the latest first."""
        rows = self._ask(
            "SELECT trace_id, body FROM entries WHERE kind = 'log' AND subject = ? ORDER BY id DESC LIMIT 50",
            [REPEATED_EVENT],
        )
        return [{"trace_id": trace_id, **json.loads(body)} for trace_id, body in rows]

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """All that is known of a trace: spans and log records, by time."""
        rows = self._ask("SELECT kind, body FROM entries WHERE trace_id = ? ORDER BY time", [trace_id])
        return [{"is": kind, **json.loads(body)} for kind, body in rows]

    def _ask(self, query: str, values: Sequence[Any]) -> list[Any]:
        with self._connected() as connection:
            return connection.execute(query, values).fetchall()
