"""Brings what a worker has seen into the file that all share: while somebody looks, and when the worker ends."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from otelflask import guard
from otelflask.monitor.encoding import Rows
from otelflask.monitor.ring import Ring
from otelflask.monitor.store import MonitorStore
from otelflask.monitor.tiles import Tiles
from otelflask.monitor.vitals import Vitals

#: Seconds between two looks at whether somebody looks, and for which a look counts.
INTERVAL_S = 0.25
LOOK_S = 15.0
#: Seconds between two times that a worker says how it is.
SELF_S = 1.0


class Publisher:
    """One of each worker. In: the ring, what makes rows of its items, what knows how the worker is, and the store."""

    def __init__(self, ring: Ring, rows: Rows, vitals: Vitals, store: MonitorStore) -> None:
        self._ring = ring
        self._tiles = Tiles()
        self._rows = rows
        self._vitals = vitals
        self._store = store
        self._begin()

    def _begin(self) -> None:
        self.started = False
        self._lock = threading.Lock()
        self._told: dict[int, Any] = {}
        self._looked = False
        self._said_self = 0.0

    def after_fork(self) -> None:
        """A child has a thread, and things to tell, of its own."""
        self._begin()
        self._tiles.after_fork()
        self._vitals.after_fork()

    def start(self) -> None:
        """Begin to watch for somebody who looks: called by the first request, so that a master has no thread."""
        with self._lock:
            if self.started:
                return
            self.started = True
        threading.Thread(target=self._run, name="otelflask-monitor", daemon=True).start()

    def _run(self) -> None:
        # Where SQLite is instrumented, what is written would be among what is written next.
        context_api.attach(context_api.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        while self.started and not self._ring.closed:
            time.sleep(INTERVAL_S)
            self._tiles.add(self._ring.drain())
            self._vitals.take(time.time())
            if time.time() - self._store.file.looked_at() < LOOK_S:
                self._publish_safely()
            else:
                self._looked = False

    def _publish_safely(self) -> None:
        try:
            self.publish()
        except (OSError, sqlite3.Error) as error:
            guard.say("monitor", "what this worker has seen cannot be shown: %s", error)

    def look(self) -> None:
        """Somebody looks: all workers will write what is new, and this one has.

        Raises OSError, sqlite3.Error and SettingError where the file cannot be used.
        """
        self._store.file.look()
        self.publish()

    def publish(self) -> None:
        """Write what is new since the last time. Raises sqlite3.Error where it cannot be written."""
        self._tiles.add(self._ring.drain())
        with self._lock:
            self._publish_items()
            self._publish_numbers()
            self._looked = True

    def _publish_items(self) -> None:
        items = self._ring.read()
        new = {id(item): item for item in items if id(item) not in self._told}
        if new:
            rows = [self._rows.of(item) for item in new.values()]
            # In the order in which they ended.
            rows.sort(key=lambda row: row[0].time + row[0].duration)
            self._store.write(rows, os.getpid())
        # Held, so that nothing new has the id of one of them.
        self._told = {id(item): item for item in items}

    def _publish_numbers(self) -> None:
        now, pid = time.time(), os.getpid()
        is_due = time.monotonic() - self._said_self >= SELF_S
        vital = self._vitals.now(now)
        # All of them where somebody begins to look: the file may be new.
        slots = self._tiles.take_changed(not self._looked)
        series = self._vitals.series()
        if slots or is_due:
            self._store.write_numbers(slots, series[-2:] if self._looked else series, pid)
        if is_due:
            self._said_self = time.monotonic()
            self._store.write_process({**self._vitals.describe(), **vital._asdict()}, pid, now)

    def flush(self) -> None:
        """The worker ends: what it has seen stays visible, where somebody has looked before."""
        if self.started and self._store.file.looked_at():
            self._publish_safely()
