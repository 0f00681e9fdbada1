"""Store what the workers of one server have seen in their shared file, only while the page is open.

Each worker writes its own rows in batches, outside of requests. One increasing number over all
rows is the page's cursor. The size is bounded: ordinary requests are removed before failed and
slow ones.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import astuple
from typing import Any

from otelflask._internal.live_page.collect.file import MonitorFile
from otelflask._internal.live_page.collect.rows import Entry, Request
from otelflask._internal.live_page.collect.time_series import SLOTS, Slot, slot_of
from otelflask._internal.live_page.collect.worker_stats import WorkerStat

#: The most requests, of all workers together.
MAX_REQUESTS = 10_000
#: The size in bytes at which a tenth of the requests is removed, whatever their number.
MAX_BYTES = 128 * 2**20
#: Seconds after which a silent worker is forgotten.
FORGOTTEN_S = 60.0
REQUEST_COLUMNS = (
    "id",
    "trace_id",
    "span_id",
    "time",
    "duration",
    "method",
    "route",
    "path",
    "status",
    "queries",
    "query_time",
    "error",
    "message",
    "user",
    "pid",
)
_OUTSIDE = "FROM entries WHERE trace_id NOT IN (SELECT trace_id FROM requests)"
_INSERT_ENTRY = (
    "INSERT INTO entries "
    "(kind, trace_id, time, duration, subject, about, amount, severity, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_REQUEST = (
    f"INSERT OR IGNORE INTO requests ({', '.join(REQUEST_COLUMNS[1:])}, notable) "
    f"VALUES ({', '.join('?' * len(REQUEST_COLUMNS))})"
)


class MonitorStore:
    """Writes to the shared file.

    Args:
        file: The file.
        slow_ns: Nanoseconds from which a request is slow.
        requests: How many requests are kept.
    """

    def __init__(self, file: MonitorFile, slow_ns: int, requests: int = MAX_REQUESTS) -> None:
        self.file = file
        self._requests = requests
        self._slow_ns = slow_ns
        self._since_forgetting = 0

    def write(self, rows: Iterable[tuple[Entry, Request | None]], pid: int) -> None:
        """Add a worker's rows. Raises as `MonitorFile.connected` does."""
        entries, requests = [], []
        for entry, request in rows:
            entries.append(astuple(entry))
            if request is not None:
                notable = request.status >= 500 or bool(request.error) or request.duration >= self._slow_ns
                requests.append((*astuple(request), pid, int(notable)))
        with self.file.at_once("IMMEDIATE") as connection:
            connection.executemany(_INSERT_ENTRY, entries)
            connection.executemany(_INSERT_REQUEST, requests)
            # Not at each write.
            self._since_forgetting += len(entries)
            if self._since_forgetting > self._requests // 20:
                self._since_forgetting = 0
                self._forget(connection)

    def write_numbers(
        self,
        slots: Iterable[tuple[int, str, Slot]],
        worker_stats: Iterable[tuple[int, WorkerStat]],
        worker: str,
        now: float,
    ) -> None:
        """Add a worker's counts and state. Raises as `MonitorFile.connected` does.

        Args:
            slots: Counts by slot and route.
            worker_stats: States by slot.
            worker: The worker.
            now: Epoch seconds.
        """
        counted = [
            (worker, number, route, slot.count, slot.failed, slot.total, json.dumps(slot.buckets))
            for number, route, slot in slots
        ]
        stats = [(worker, number, *stat) for number, stat in worker_stats]
        with self.file.at_once("IMMEDIATE") as connection:
            connection.executemany("INSERT OR REPLACE INTO route_slots VALUES (?, ?, ?, ?, ?, ?, ?)", counted)
            connection.executemany("INSERT OR REPLACE INTO worker_stats VALUES (?, ?, ?, ?, ?, ?, ?)", stats)
            for table in ("route_slots", "worker_stats"):
                # Slots of the future come from a clock that was set back.
                connection.execute(
                    f"DELETE FROM {table} WHERE slot <= ? OR slot > ?", (slot_of(now) - SLOTS, slot_of(now) + 1)
                )

    def write_process(self, body: dict[str, Any], worker: str, now: float) -> None:
        """Store the description of a worker. Raises as `MonitorFile.connected` does.

        Args:
            body: The description.
            worker: The worker.
            now: Epoch seconds.
        """
        with self.file.at_once("IMMEDIATE") as connection:
            connection.execute("DELETE FROM processes WHERE time < ?", (now - FORGOTTEN_S,))
            connection.execute("INSERT OR REPLACE INTO processes VALUES (?, ?, ?)", (worker, now, json.dumps(body)))

    def _forget(self, connection: sqlite3.Connection) -> None:
        """Remove the oldest rows: lines and spans outside of requests, and requests with their rows.

        Ordinary requests are removed before failed and slow ones.
        """
        # As many as there may be requests. When space is short, half of them go before any request.
        (outside,) = connection.execute(f"SELECT count(*) {_OUTSIDE}").fetchone()
        self._forget_outside(connection, min(outside, self._requests))
        if _bytes_used(connection) > MAX_BYTES:
            self._forget_outside(connection, min(outside, self._requests) // 2)
        (count,) = connection.execute("SELECT count(*) FROM requests").fetchone()
        excess = count - self._requests
        if _bytes_used(connection) > MAX_BYTES:
            excess = max(excess, count // 10 + 1)
        if excess > 0:
            gone = connection.execute(
                "SELECT id, trace_id FROM requests ORDER BY notable, id LIMIT ?", (excess,)
            ).fetchall()
            connection.executemany("DELETE FROM requests WHERE id = ?", [(key,) for key, _ in gone])
            # A trace with several requests is removed with the last of them.
            connection.executemany(
                "DELETE FROM entries WHERE trace_id = ? AND NOT EXISTS (SELECT * FROM requests WHERE trace_id = ?)",
                [(trace_id, trace_id) for _, trace_id in gone],
            )

    @staticmethod
    def _forget_outside(connection: sqlite3.Connection, kept: int) -> None:
        connection.execute(
            f"DELETE {_OUTSIDE} AND id <= (SELECT id {_OUTSIDE} ORDER BY id DESC LIMIT 1 OFFSET ?)", (kept,)
        )


def _bytes_used(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
