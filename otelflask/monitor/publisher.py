"""Brings what a worker has seen into the file that all share: while somebody looks, and when the worker ends."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from typing import Any

from otelflask import guard
from otelflask.monitor.encoding import Rows
from otelflask.monitor.ring import Ring
from otelflask.monitor.store import MonitorStore

#: Seconds between two looks at whether somebody looks, and for which a look counts.
INTERVAL_S = 0.25
LOOK_S = 15.0


class Publisher:
    """One of each worker.

    In: the ring, what makes rows of its items, and the store.
    """

    def __init__(self, ring: Ring, rows: Rows, store: MonitorStore) -> None:
        self._ring = ring
        self._rows = rows
        self._store = store
        self.after_fork()

    def after_fork(self) -> None:
        """A child has a thread, and things to tell, of its own."""
        self.started = False
        self._lock = threading.Lock()
        self._told: dict[int, Any] = {}

    def start(self) -> None:
        """Begin to watch for somebody who looks: called by the first request, so that a master has no thread."""
        with self._lock:
            if self.started:
                return
            self.started = True
        threading.Thread(target=self._run, name="otelflask-monitor", daemon=True).start()

    def _run(self) -> None:
        while self.started:
            time.sleep(INTERVAL_S)
            self._ring.keep_notable()
            if time.time() - self._store.looked_at() < LOOK_S:
                self._publish_safely()

    def _publish_safely(self) -> None:
        try:
            self.publish()
        except (OSError, sqlite3.Error) as error:
            guard.say("monitor", "what this worker has seen cannot be shown: %s", error)

    def publish(self) -> None:
        """Write what is new since the last time. Raises sqlite3.Error where it cannot be written."""
        with self._lock:
            items = self._ring.read()
            new = {id(item): item for item in items if id(item) not in self._told}
            if new:
                rows = [self._rows.of(item) for item in new.values()]
                # In the order in which they ended.
                rows.sort(key=lambda row: row[0].time + row[0].duration)
                self._store.write(rows, os.getpid())
            # Held, so that nothing new has the id of one of them.
            self._told = {id(item): item for item in items}

    def flush(self) -> None:
        """The worker ends: what it has seen stays visible, where somebody has looked before."""
        if self.started and self._store.looked_at():
            self._publish_safely()
