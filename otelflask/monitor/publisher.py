"""Brings what a worker has seen into the file that all share: while somebody looks, and when the worker ends."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from otelflask import guard
from otelflask.monitor.encoding import Rows
from otelflask.monitor.ring import Ring
from otelflask.monitor.store import MonitorStore, ProcessState
from otelflask.monitor.tiles import Tiles

#: Seconds between two looks at whether somebody looks, and for which a look counts.
INTERVAL_S = 0.25
LOOK_S = 15.0


class Publisher:
    """One of each worker.

    In: the ring, what makes rows of its items, the store, and how many items
    wait to be sent.
    """

    def __init__(self, ring: Ring, rows: Rows, store: MonitorStore, waiting: Callable[[], int]) -> None:
        self._ring = ring
        self._tiles = Tiles()
        self._waiting = waiting
        self._rows = rows
        self._store = store
        self.after_fork()

    def after_fork(self) -> None:
        """A child has a thread, and things to tell, of its own."""
        self.started = False
        self._lock = threading.Lock()
        self._told: dict[int, Any] = {}
        self._tiles.after_fork()
        self._process = psutil.Process()
        self._looked = False

    def start(self) -> None:
        """Begin to watch for somebody who looks: called by the first request, so that a master has no thread."""
        with self._lock:
            if self.started:
                return
            self.started = True
        threading.Thread(target=self._run, name="otelflask-monitor", daemon=True).start()

    def _run(self) -> None:
        while self.started and not self._ring.closed:
            time.sleep(INTERVAL_S)
            self._tiles.add(self._ring.drain())
            if time.time() - self._store.looked_at() < LOOK_S:
                self._publish_safely()
            else:
                self._looked = False

    def _publish_safely(self) -> None:
        try:
            self.publish()
        except (OSError, sqlite3.Error) as error:
            guard.say("monitor", "what this worker has seen cannot be shown: %s", error)

    def publish(self) -> None:
        """Write what is new since the last time. Raises sqlite3.Error where it cannot be written."""
        self._tiles.add(self._ring.drain())
        with self._lock:
            items = self._ring.read()
            new = {id(item): item for item in items if id(item) not in self._told}
            if new:
                rows = [self._rows.of(item) for item in new.values()]
                # In the order in which they ended.
                rows.sort(key=lambda row: row[0].time + row[0].duration)
                self._store.write(rows, os.getpid())
            # All of them where somebody begins to look: the file may be new.
            self._store.write_tiles(self._tiles.take_changed(not self._looked), self._state(), os.getpid())
            self._looked = True
            # Held, so that nothing new has the id of one of them.
            self._told = {id(item): item for item in items}

    def _state(self) -> ProcessState:
        process = self._process
        with process.oneshot():
            # Of one processor, since this was asked last.
            cpu = process.cpu_percent() / 100
            return ProcessState(time.time(), cpu, process.memory_info().rss, process.num_threads(), self._waiting())

    def flush(self) -> None:
        """The worker ends: what it has seen stays visible, where somebody has looked before."""
        if self.started and self._store.looked_at():
            self._publish_safely()
