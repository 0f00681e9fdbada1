"""What the workers of one server have seen, kept in their common file: written only while somebody looks.

Each worker writes its own rows, in batches, off the request path. One rising
number over all of them is the page's cursor. The file is bounded: ordinary
requests go before those that failed or were slow.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from typing import Any

from otelflask.monitor.encoding import Entry, Request
from otelflask.monitor.file import MonitorFile
from otelflask.monitor.tiles import SLOTS, Slot
from otelflask.monitor.vitals import Vital

#: Requests that are kept, of all workers together.
MAX_REQUESTS = 10_000
#: Bytes from which on a tenth of them goes, whatever their number.
MAX_BYTES = 128 * 2**20
REQUEST_COLUMNS = (
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
)
_INSERT_ENTRY = (
    "INSERT OR IGNORE INTO entries "
    "(kind, trace_id, time, duration, name, subject, about, amount, severity, body, pid, key) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_REQUEST = (
    f"INSERT OR IGNORE INTO requests ({', '.join(REQUEST_COLUMNS[1:])}, notable) "
    f"VALUES ({', '.join('?' * len(REQUEST_COLUMNS))})"
)


class MonitorStore:
    """In: the file; from how many ns on a request is slow; how many requests are kept."""

    def __init__(self, file: MonitorFile, slow_ns: int, requests: int = MAX_REQUESTS) -> None:
        self.file = file
        self._requests = requests
        self._slow_ns = slow_ns
        self._since_forgetting = 0

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self.file.connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

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
        with self._transaction() as connection:
            connection.executemany(_INSERT_ENTRY, entries)
            connection.executemany(_INSERT_REQUEST, requests)
            # Not at each write.
            self._since_forgetting += len(entries)
            if self._since_forgetting > self._requests // 20:
                self._since_forgetting = 0
                self._forget(connection)

    def write_numbers(
        self, slots: Iterable[tuple[int, str, Slot]], vitals: Iterable[tuple[int, Vital]], pid: int
    ) -> None:
        """Add what a worker has counted, and how it was. Raises sqlite3.Error where it cannot be written."""
        counted = [
            (pid, number, route, slot.count, slot.failed, slot.total, json.dumps(slot.buckets))
            for number, route, slot in slots
        ]
        felt = [(pid, number, *vital) for number, vital in vitals]
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO tiles VALUES (?, ?, ?, ?, ?, ?, ?)", counted)
            connection.executemany("INSERT OR REPLACE INTO vitals VALUES (?, ?, ?, ?, ?, ?, ?)", felt)
            if felt:
                newest = max(row[1] for row in felt)
                for table in ("tiles", "vitals"):
                    connection.execute(f"DELETE FROM {table} WHERE slot <= ?", (newest - SLOTS,))

    def write_process(self, body: dict[str, Any], pid: int, now: float) -> None:
        """Say how a worker is. In: epoch seconds. Raises sqlite3.Error where it cannot be written."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO processes VALUES (?, ?, ?)", (pid, now, json.dumps(body)))

    def _forget(self, connection: sqlite3.Connection) -> None:
        """Let the oldest requests go, with all that belongs to them: ordinary ones first."""
        (count,) = connection.execute("SELECT count(*) FROM requests").fetchone()
        excess = count - self._requests
        if _bytes_used(connection) > MAX_BYTES:
            excess = max(excess, count // 10 + 1)
        if excess > 0:
            oldest = "SELECT trace_id FROM requests ORDER BY notable, id LIMIT ?"
            connection.execute(f"DELETE FROM entries WHERE trace_id IN ({oldest})", (excess,))
            connection.execute(f"DELETE FROM requests WHERE trace_id IN ({oldest})", (excess,))
        # Lines and spans outside of requests: as many as there may be requests.
        outside = "FROM entries WHERE trace_id NOT IN (SELECT trace_id FROM requests)"
        connection.execute(
            f"DELETE {outside} AND id <= (SELECT id {outside} ORDER BY id DESC LIMIT 1 OFFSET ?)", (self._requests,)
        )


def _bytes_used(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
