"""Brings what a worker has seen into the file that all share: while somebody looks, and when the worker ends."""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
from typing import Any

from otelflask._internal import clock, guard
from otelflask._internal.lifecycle.worker import Worker
from otelflask._internal.live_page.collect.ring import Ring
from otelflask._internal.live_page.collect.rows import Entry, Request, Rows
from otelflask._internal.live_page.collect.store import MonitorStore
from otelflask._internal.live_page.collect.time_series import TimeSeries
from otelflask._internal.live_page.collect.worker_stats import WorkerStats
from otelflask._internal.locks import new_lock
from otelflask._internal.settings import SettingError

#: Seconds between two looks at whether somebody looks, and for which a look counts.
INTERVAL_S = 0.25
LOOK_S = 15.0
#: Seconds between two times that a worker says how it is.
SELF_S = 1.0
#: Items that are written at once. A request that asks for the page waits for no more than these.
BATCH = 500
#: Seconds that one thread waits for another, and that a worker's end takes for what it leaves.
LOCK_S = 2.0

_numbers = itertools.count()


class Publisher:
    """One of each worker. In: the ring, what makes rows of its items, what knows how the worker is, and the store.

    One thread at a time: a signal's handler may interrupt any of them, and waits no longer than `LOCK_S`.
    """

    def __init__(self, ring: Ring, rows: Rows, vitals: WorkerStats, store: MonitorStore) -> None:
        self._ring = ring
        self._series = TimeSeries()
        self._rows = rows
        self._vitals = vitals
        self._store = store
        self._number = next(_numbers)
        # Where SQLite is instrumented, what is written would be among what is written next: nothing here is traced.
        self._worker = Worker("monitor", self._work, INTERVAL_S)
        self._lock = new_lock()
        self._begin()

    def _begin(self) -> None:
        self.started = False
        self._worker.after_fork()
        self._told: dict[int, Any] = {}
        self._is_new = True
        self._era = ""
        self._said_self = 0.0

    def after_fork(self) -> None:
        """A child has a thread, and things to tell, of its own."""
        self._begin()
        self._series.after_fork()
        self._vitals.after_fork()

    def start(self) -> None:
        """Begin to watch for somebody who looks: called by the first request, so that a master has no thread."""
        # Where no thread can be had, the next request tries again.
        self.started = self._worker.start()

    def _work(self) -> float | None:
        if self._ring.has_ended:
            return None
        guard.call_hook("live page's thread", self._look_around)
        return INTERVAL_S

    def _look_around(self) -> None:
        with self._lock:
            self._count()
        if 0 <= time.time() - self._store.file.looked_at() < LOOK_S:
            self._publish_safely()
        else:
            self._is_new = True

    def _count(self) -> None:
        self._series.add(self._ring.drain())
        self._vitals.take(clock.time())

    def _publish_safely(self, seconds: float = float("inf")) -> None:
        end = time.monotonic() + seconds
        try:
            while self.publish() and time.monotonic() < end:
                # Others may ask meanwhile.
                time.sleep(0)
        except (OSError, sqlite3.Error, SettingError) as error:
            guard.say("monitor", "what this worker has seen cannot be shown: %s", error)

    def look(self) -> None:
        """Somebody looks: all workers will write what is new, and this one has, unless it is much.

        Raises OSError, sqlite3.Error and SettingError where the file cannot be used.
        """
        self._store.file.look()
        if self.publish():
            self._worker.wake()

    def publish(self) -> bool:
        """Write some of what is new since the last time. Out: whether there is more.

        Raises OSError, sqlite3.Error and SettingError where it cannot be written.
        """
        if not self._lock.acquire(timeout=LOCK_S):
            return False
        try:
            self._count()
            era = self._store.file.era
            if era != self._era:
                # Another file: what was in the one before is gone.
                self._told = {}
                self._is_new = True
                self._era = era
            is_more = self._publish_items()
            self._publish_numbers()
            return is_more
        finally:
            self._lock.release()

    def _publish_items(self) -> bool:
        items = {id(item): item for item in self._ring.read()}
        # Held, so that nothing new has the id of one of them.
        self._told = {key: item for key, item in self._told.items() if key in items}
        new = [key for key in items if key not in self._told]
        if new:
            batch = new[:BATCH]
            rows = [row for key in batch if (row := self._row(items[key])) is not None]
            # In the order in which they ended.
            rows.sort(key=lambda row: row[0].time + row[0].duration)
            self._store.write(rows, os.getpid())
            self._told.update((key, items[key]) for key in batch)
        return len(new) > BATCH

    @guard.guarded("a row of the live page")
    def _row(self, item: Any) -> tuple[Entry, Request | None] | None:
        """None for what no row can be made of: it must not cost the others."""
        return self._rows.of(item)

    def _publish_numbers(self) -> None:
        now, worker = clock.time(), f"{os.getpid()}.{self._number}"
        is_due = time.monotonic() - self._said_self >= SELF_S
        vital = self._vitals.now(now)
        # All of them where somebody begins to look, and where the last time went wrong.
        everything, self._is_new = self._is_new, True
        slots = self._series.take_changed(everything)
        series = self._vitals.series()
        if slots or is_due:
            self._store.write_numbers(slots, series if everything else series[-2:], worker, now)
        if is_due:
            self._said_self = time.monotonic()
            self._store.write_process({**self._vitals.describe(), **vital._asdict()}, worker, now)
        self._is_new = False

    def flush(self) -> None:
        """The worker ends: what it has seen stays visible, where its server goes on."""
        if self.started and (self._store.file.looked_at() or not self._store.file.is_of_this_process):
            self._publish_safely(LOCK_S)
