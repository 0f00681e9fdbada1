"""Publish what a worker has seen to the shared file: while the page is open, and when the worker ends."""

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

#: Seconds between two checks whether the page is open, and for which a read of the page counts.
INTERVAL_S = 0.25
OPEN_S = 15.0
#: Seconds between two descriptions of this worker.
SELF_S = 1.0
#: Items that are written at once. A request for the page waits for no more than these.
BATCH = 500
#: Seconds that a thread waits for another, and that the end of a worker takes for its last items.
LOCK_S = 2.0

_numbers = itertools.count()


class Publisher:
    """Publishes one worker's items.

    One thread works at a time. A signal handler may interrupt any of them, and waits no longer than
    `LOCK_S`.

    Args:
        ring: The items.
        rows: Makes rows of them.
        worker_stats: The state of this worker.
        store: Takes the rows.
    """

    def __init__(self, ring: Ring, rows: Rows, worker_stats: WorkerStats, store: MonitorStore) -> None:
        self._ring = ring
        self._series = TimeSeries()
        self._rows = rows
        self._worker_stats = worker_stats
        self._store = store
        self._number = next(_numbers)
        # The thread's work is not traced: where SQLite is instrumented, its writes would be items of the next round.
        self._worker = Worker("monitor", self._work, INTERVAL_S)
        self._lock = new_lock()
        self._begin()

    def _begin(self) -> None:
        self.started = False
        self._worker.after_fork()
        self._published: dict[int, Any] = {}
        self._is_new = True
        self._generation = ""
        self._described_at = 0.0

    def after_fork(self) -> None:
        """Forget the parent's thread and items."""
        self._begin()
        self._series.after_fork()
        self._worker_stats.after_fork()

    def start(self) -> None:
        """Begin to check whether the page is open. The first request calls this, so that a master has no thread."""
        # Without a thread, the next request tries again.
        self.started = self._worker.start()

    def _work(self) -> float | None:
        if self._ring.has_ended:
            return None
        guard.call_hook("live page's thread", self._look_around)
        return INTERVAL_S

    def _look_around(self) -> None:
        with self._lock:
            self._count()
        if 0 <= time.time() - self._store.file.opened_at() < OPEN_S:
            self._publish_safely()
        else:
            self._is_new = True

    def _count(self) -> None:
        self._series.add(self._ring.drain())
        self._worker_stats.take(clock.time())

    def _publish_safely(self, seconds: float = float("inf")) -> None:
        end = time.monotonic() + seconds
        try:
            while self.publish() and time.monotonic() < end:
                # Let readers in.
                time.sleep(0)
        except (OSError, sqlite3.Error, SettingError) as error:
            guard.log("monitor", "the live page cannot show this worker: %s", error)

    def mark_open(self) -> None:
        """Mark the page as open, and publish this worker's new items at once, unless they are many.

        All workers publish new items from now on.

        Raises:
            OSError: The file cannot be used.
            sqlite3.Error: The database cannot be used.
            SettingError: The folder cannot be used.
        """
        self._store.file.mark_open()
        if self.publish():
            self._worker.wake()

    def publish(self) -> bool:
        """Write some of the new items.

        Returns:
            Whether there are more.

        Raises:
            OSError: The file cannot be written.
            sqlite3.Error: The database cannot be written.
            SettingError: The folder cannot be used.
        """
        if not self._lock.acquire(timeout=LOCK_S):
            return False
        try:
            self._count()
            generation = self._store.file.generation
            if generation != self._generation:
                # A new file: the rows of the old one are gone.
                self._published = {}
                self._is_new = True
                self._generation = generation
            is_more = self._publish_items()
            self._publish_numbers()
            return is_more
        finally:
            self._lock.release()

    def _publish_items(self) -> bool:
        items = {id(item): item for item in self._ring.read()}
        # The items are held, so that no new one gets the id of an old one.
        self._published = {key: item for key, item in self._published.items() if key in items}
        new = [key for key in items if key not in self._published]
        if new:
            batch = new[:BATCH]
            rows = [row for key in batch if (row := self._row(items[key])) is not None]
            # In the order of their ends.
            rows.sort(key=lambda row: row[0].time + row[0].duration)
            self._store.write(rows, os.getpid())
            self._published.update((key, items[key]) for key in batch)
        return len(new) > BATCH

    @guard.guarded("a row of the live page")
    def _row(self, item: Any) -> tuple[Entry, Request | None] | None:
        """The row of an item; None where none can be made, so that it does not cost the others."""
        return self._rows.of(item)

    def _publish_numbers(self) -> None:
        now, worker = clock.time(), f"{os.getpid()}.{self._number}"
        is_due = time.monotonic() - self._described_at >= SELF_S
        stat = self._worker_stats.now(now)
        # Everything when the page is opened, and after an error.
        everything, self._is_new = self._is_new, True
        slots = self._series.take_changed(everything)
        series = self._worker_stats.series()
        if slots or is_due:
            self._store.write_numbers(slots, series if everything else series[-2:], worker, now)
        if is_due:
            self._described_at = time.monotonic()
            self._store.write_process({**self._worker_stats.describe(), **stat._asdict()}, worker, now)
        self._is_new = False

    def flush(self) -> None:
        """Publish the last items at the worker's end, for as long as its server lives."""
        if self.started and (self._store.file.opened_at() or not self._store.file.is_of_this_process):
            self._publish_safely(LOCK_S)
