"""The workers of one server share their metrics in files, so that each of them can answer for all.

Each worker has a file, which it replaces every few seconds and before it answers a scrape, and a
lock, which it holds while it lives. The answering worker adds up the files of living workers. It
merges the counts of dead workers into one file that also names those workers, so that a crash in
between counts nothing twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable
from typing import Any

from otelflask._internal import guard
from otelflask._internal.lifecycle.background_task import BackgroundTask
from otelflask._internal.lifecycle.servers import server_id
from otelflask._internal.locks import new_lock
from otelflask._internal.metrics_page.snapshot import Snapshot, from_json, lasting, merged, to_json
from otelflask._internal.settings import SettingError
from otelflask._internal.shared_folder import SharedFolder, service_key

#: Seconds between two writes, and so the most that a killed worker loses.
INTERVAL_S = 3.0
#: Writes between two searches for dead workers.
MERGE_DEAD_EVERY = 20
#: Seconds that a scrape or a write waits for another one.
LOCK_TIMEOUT_S = 2.0
#: Seconds after which the folder of a silent server is removed.
FORGOTTEN_S = 86_400.0
DEAD_WORKERS_FILE = "folded.json"


class SharedMetrics:
    """The files of this worker and of the others.

    Args:
        folder: A folder that only this user can use.
        service: An identifier of the service, equal in all its processes.
        take: Makes this worker's snapshot.
        has_ended: Returns whether there will be no more snapshots.
    """

    def __init__(
        self,
        folder: SharedFolder,
        service: str,
        take: Callable[[], Snapshot],
        has_ended: Callable[[], bool] = lambda: False,
    ) -> None:
        self._has_ended = has_ended
        self._base = folder
        self._service = service_key(service)
        self._take = take
        self._task = BackgroundTask("metrics-page", self._share, INTERVAL_S)
        self._lock = new_lock()
        self.after_fork()

    def after_fork(self) -> None:
        """Start again as another worker, in a forked child."""
        self.started = False
        self._lock_file: Any = None
        self._folder = self._base
        self._name = ""
        self._task.after_fork()
        self._shares = 0

    def start(self) -> None:
        """Begin to share. The first request calls this, so that a pre-fork server's master is not a worker."""
        with self._lock:
            if self.started:
                return
            self.started = True
            try:
                self._folder = self._base.below(f"metrics-{self._service}-{server_id()}")
                self._name = f"{os.getpid()}-{os.urandom(4).hex()}"
                self._lock_file = self._folder.hold(f"{self._name}.alive")
                self._forget_others()
            except (OSError, SettingError) as error:
                guard.log("metrics page", "metrics cannot be shared with the other workers: %s", error)
        self._task.start()

    def _share(self) -> float | None:
        if self._has_ended():
            with self._lock:
                if self._lock_file is not None:
                    self._lock_file.close()
                    self._lock_file = None
            return None
        self._shares += 1
        with contextlib.suppress(TimeoutError):
            guard.call_hook("thread of the metrics page", self.write)
        if self._shares % MERGE_DEAD_EVERY == 0 and self._lock_file is not None:
            # Without scrapes, the files of dead workers would pile up. Under pytest `call_hook` raises again.
            with contextlib.suppress(OSError, TimeoutError, SettingError):
                self._others()
        return INTERVAL_S

    def write(self) -> Snapshot:
        """Write this worker's metrics for the others.

        Returns:
            This worker's snapshot, also if it could not be written.

        Raises:
            TimeoutError: Another write is going on.
        """
        # With a timeout, because a signal handler may have interrupted another write.
        if not self._lock.acquire(timeout=LOCK_TIMEOUT_S):
            raise TimeoutError("metrics are being collected")
        try:
            snapshot = self._take()
            if self._lock_file is not None:
                try:
                    self._folder.write(f"{self._name}.json", json.dumps(to_json(snapshot)).encode())
                except (OSError, SettingError) as error:
                    guard.log("metrics page", "metrics cannot be shared with the other workers: %s", error)
            return snapshot
        finally:
            self._lock.release()

    def all(self) -> Snapshot:
        """The metrics of all workers, at most a few seconds old, and the counts of dead ones.

        Raises:
            OSError: Another worker's metrics cannot be read. This worker's alone would look like counters
                that decrease.
            TimeoutError: Another scrape or write takes too long.
            SettingError: The folder cannot be used.
            KeyError, TypeError: Another version of otelflask wrote a file.
        """
        own = self.write()
        if self._lock_file is None:
            return own
        alive = f"{self._name}.alive"
        with self._lock:
            if not self._folder.changed(alive):
                self._lock_file.close()
                self._lock_file = self._folder.hold(alive)
                raise FileNotFoundError("the workers' shared files were removed; they are written again from now on")
        return merged([*self._others(), own])

    def _others(self) -> list[Snapshot]:
        """The counts of dead and living workers. The files of dead ones are merged into one."""
        with self._folder.locked(LOCK_TIMEOUT_S):
            dead_counts, ids = self._read_merged()
            living, dead = self._find(ids)
            if dead:
                dead_counts = lasting(merged([dead_counts, *dead.values()]))
                body = {"of": [*ids, *dead], "metrics": to_json(dead_counts)}
                self._folder.write(DEAD_WORKERS_FILE, json.dumps(body).encode())
                for name in dead:
                    self._remove(name)
        return [dead_counts, *living]

    def _read_merged(self) -> tuple[Snapshot, list[str]]:
        found = self._read(DEAD_WORKERS_FILE)
        if not isinstance(found, dict):
            return {}, []
        # A worker whose files are removed need not be listed any more.
        known = set(self._folder.names())
        return from_json(found["metrics"]), [name for name in found["of"] if f"{name}.alive" in known]

    def _find(self, merged_names: list[str]) -> tuple[list[Snapshot], dict[str, Snapshot]]:
        living: list[Snapshot] = []
        dead: dict[str, Snapshot] = {}
        for entry in self._folder.names():
            name, _, kind = entry.rpartition(".")
            if kind != "alive" or name == self._name:
                continue
            if name in merged_names:
                self._remove(name)
                continue
            # Test the lock before reading, so that the last write of a worker that ends in between is read.
            lives = self._folder.is_held(entry)
            found = self._read(f"{name}.json")
            snapshot = from_json(found) if isinstance(found, list) else {}
            if lives:
                living.append(snapshot)
            else:
                dead[name] = snapshot
        return living, dead

    def _read(self, name: str) -> Any:
        data = self._folder.read(name)
        try:
            return json.loads(data) if data is not None else None
        except ValueError:
            return None

    def _remove(self, name: str) -> None:
        self._folder.remove(f"{name}.json", f"{name}.alive")

    def _forget_others(self) -> None:
        """Remove the folders of servers that ended long ago."""
        for name in self._base.names("metrics-"):
            folder = self._base.below(name)
            if folder.path == self._folder.path:
                continue
            newest = max(map(folder.changed, folder.names()), default=os.stat(folder.path).st_mtime)
            if time.time() - newest > FORGOTTEN_S:
                shutil.rmtree(folder.path, ignore_errors=True)
