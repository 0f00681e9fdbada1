"""Publish what a worker has seen to the shared file: while the page is open, and when the worker ends."""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
from typing import Any

from otelflask._internal import clock, guard
from otelflask._internal.lifecycle.background_task import BackgroundTask
from otelflask._internal.live_page.collect.ring import Ring
from otelflask._internal.live_page.collect.rows import Entry, Request, row_of
from otelflask._internal.live_page.collect.store import MonitorStore
from otelflask._internal.live_page.collect.time_series import TimeSeries
from otelflask._internal.live_page.collect.worker_stats import WorkerStats
from otelflask._internal.locks import new_lock
from otelflask._internal.settings import SettingError

#: Seconds between two checks whether the page is open.
INTERVAL_S = 0.25
#: Seconds after a read of the page for which it counts as open.
OPEN_S = 15.0
#: Seconds between two descriptions of this worker.
DESCRIBE_INTERVAL_S = 1.0
#: The number of items that are written at once. A request for the page waits for no more than these.
BATCH = 500
#: Seconds that a thread waits for another.
LOCK_TIMEOUT_S = 2.0
#: Seconds that the end of a worker takes for its last items.
LAST_PUBLISH_S = 2.0

#: A process may have several publishers.
_publisher_ids = itertools.count()


class Publisher:
    """Publishes one worker's items.

    One thread works at a time. A signal handler may interrupt the thread that holds the lock, so
    `publish` waits at most `LOCK_TIMEOUT_S` for it.

    Args:
        ring: This worker's latest spans and log records.
        worker_stats: The state of this worker.
        store: Writes rows to the shared file.
    """

    def __init__(self, ring: Ring, worker_stats: WorkerStats, store: MonitorStore) -> None:
        self._ring = ring
        self._series = TimeSeries()
        self._worker_stats = worker_stats
        self._store = store
        self._publisher_id = next(_publisher_ids)
        # The thread's work is not traced: where SQLite is instrumented, its writes would be items of the next round.
        self._task = BackgroundTask("monitor", self._work, INTERVAL_S)
        self._lock = new_lock()
        self._reset()

    def _reset(self) -> None:
        self.started = self._joined = False
        self._store.file.joins = False
        self._task.after_fork()
        self._published: dict[int, Any] = {}
        self._publish_all = True
        self._generation = ""
        self._described_at = 0.0

    def after_fork(self) -> None:
        """Forget the parent's thread and items."""
        self._reset()
        self._series.after_fork()
        self._worker_stats.after_fork()

    def start(self) -> None:
        """Begin to check whether the page is open.

        The first request calls this, so that a pre-fork server's master process starts no thread.
        """
        self._joined = self._store.file.joins = False
        # Without a thread, the next request tries again.
        self.started = self._task.start()

    def join(self) -> None:
        """Begin to show this process, which runs jobs and serves no request, on the page of a server of its service."""
        if not self.started and not self._joined:
            self._store.file.joins = True
            self._joined = self._task.start()

    def _work(self) -> float | None:
        if self._ring.has_ended:
            return None
        guard.call_hook("thread of the live page", self._publish_if_open)
        return INTERVAL_S

    def _publish_if_open(self) -> None:
        with self._lock:
            self._update_statistics()
        if self._is_open():
            self._publish_safely()
        else:
            self._publish_all = True

    def _update_statistics(self) -> None:
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

    def mark_open(self) -> bool:
        """Mark the page as open, and publish this worker's new items at once, at most `BATCH` of them.

        The thread publishes the rest. All workers publish new items for the next `OPEN_S` seconds.

        Returns:
            Whether it was not open before, so that the other workers have not published yet.

        Raises:
            OSError: The file cannot be used.
            sqlite3.Error: The database cannot be used.
            SettingError: The folder cannot be used.
        """
        was_closed = not self._is_open()
        self._store.file.mark_open()
        if self.publish():
            self._task.wake()
        return was_closed

    def _is_open(self) -> bool:
        return 0 <= time.time() - self._store.file.opened_at() < OPEN_S

    def publish(self) -> bool:
        """Write some of the new items, the counts and the worker's state.

        Returns:
            Whether there are more. False also where another thread holds the lock; then nothing is written.

        Raises:
            OSError: The file cannot be written.
            sqlite3.Error: The database cannot be written.
            SettingError: The folder cannot be used.
        """
        if not self._lock.acquire(timeout=LOCK_TIMEOUT_S):
            return False
        try:
            self._update_statistics()
            generation = self._store.file.generation
            if generation != self._generation:
                # A new file: the rows of the old one are gone.
                self._published = {}
                self._publish_all = True
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

    @guard.guarded("creating a row of the live page")
    def _row(self, item: Any) -> tuple[Entry, Request | None] | None:
        """The row of an item; None where none can be made, so that the other rows are still written."""
        return row_of(item)

    def _publish_numbers(self) -> None:
        now, worker = clock.time(), f"{os.getpid()}.{self._publisher_id}"
        is_due = time.monotonic() - self._described_at >= DESCRIBE_INTERVAL_S
        stat = self._worker_stats.now(now)
        # Everything when the page is opened, and after an error.
        everything, self._publish_all = self._publish_all, True
        slots = self._series.take_changed(everything)
        series = self._worker_stats.series()
        if slots or is_due:
            self._store.write_numbers(slots, series if everything else series[-2:], worker, now)
        if is_due:
            self._described_at = time.monotonic()
            self._store.write_process({**self._worker_stats.describe(), **stat._asdict()}, worker, now)
        self._publish_all = False

    def flush(self) -> None:
        """Publish the remaining items, if the page was opened before, or if other workers can still show them."""
        if self._joined:
            if self._is_open():
                self._publish_safely(LAST_PUBLISH_S)
        elif self.started and (self._store.file.opened_at() or not self._store.file.is_of_this_process):
            self._publish_safely(LAST_PUBLISH_S)
