"""The workers of one server share their metrics by files, so that any of them can answer for all.

Each worker has a file that it replaces every few seconds and before it
answers a scrape, and a lock that it holds while it lives. Whoever answers
adds up those of the living, and puts what the dead have counted into one
file that also says whose that is: a crash in between counts nothing twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from otelflask import guard
from otelflask.exposition.snapshot import Snapshot, from_json, lasting, merged, to_json
from otelflask.locks import new_lock
from otelflask.pipeline.state import check_folder, server_id
from otelflask.settings import SettingError
from otelflask.worker import Worker

#: Seconds between two writes: what a killed worker loses at most.
INTERVAL_S = 3.0
#: Writes after which a worker looks for those that are gone.
FOLD_EVERY = 20
#: Seconds that a scrape waits for another one.
LOCK_TIMEOUT_S = 2.0
#: Seconds after which the folder of a server that nobody writes to is removed.
FORGOTTEN_S = 86_400.0
FOLDED = "folded.json"


class Workers:
    """The files of this worker and of the others.

    In: a folder that belongs to this user alone; what the workers of one app
    have in common; what takes this worker's snapshot, and
    what says that there will be nothing more to take.
    """

    def __init__(
        self,
        folder: str,
        service: str,
        take: Callable[[], Snapshot],
        has_ended: Callable[[], bool] = lambda: False,
    ) -> None:
        self._has_ended = has_ended
        self._base = folder
        self._service = hashlib.blake2b(service.encode(), digest_size=8).hexdigest()
        self._take = take
        self._worker = Worker("metrics-page", self._share, INTERVAL_S)
        self._lock = new_lock()
        self.after_fork()

    def after_fork(self) -> None:
        """A child is a worker of its own."""
        self.started = False
        self._alive: Any = None
        self._folder = ""
        self._name = ""
        self._worker.after_fork()
        self._shares = 0

    def start(self) -> None:
        """Begin to share: called by the first request, so that a master that serves none is no worker."""
        with self._lock:
            if self.started:
                return
            self.started = True
            try:
                self._folder = os.path.join(self._base, f"metrics-{self._service}-{server_id()}")
                self._name = f"{os.getpid()}-{os.urandom(4).hex()}"
                check_folder(self._base)
                os.makedirs(self._folder, mode=0o700, exist_ok=True)
                # Under another name until it is locked: others would take it for that of a worker that is gone.
                self._alive = open(self._path("new"), "wb")  # noqa: SIM115
                fcntl.flock(self._alive, fcntl.LOCK_EX)
                os.rename(self._path("new"), self._path("alive"))
                self._forget_others()
            except (OSError, SettingError) as error:
                guard.say("metrics page", "metrics cannot be shared with the other workers: %s", error)
        self._worker.start()

    def _path(self, kind: str, name: str = "") -> str:
        return os.path.join(self._folder, f"{name or self._name}.{kind}")

    def _share(self) -> float | None:
        if self._has_ended():
            return None
        self._shares += 1
        with contextlib.suppress(TimeoutError):
            guard.call_hook("metrics page's thread", self.write)
        if self._shares % FOLD_EVERY == 0 and self._alive is not None:
            # Where nobody scrapes, the files of workers that are gone would pile up.
            with contextlib.suppress(OSError, TimeoutError):
                self._others()
        return INTERVAL_S

    def write(self) -> Snapshot:
        """Leave this worker's metrics for the others. Out: what was left.

        Raises TimeoutError where that is going on already.
        """
        # Not waited for without end: a signal's handler may have interrupted just that.
        if not self._lock.acquire(timeout=LOCK_TIMEOUT_S):
            raise TimeoutError("metrics are being collected")
        try:
            snapshot = self._take()
            if self._alive is not None:
                try:
                    _replace(self._path("json"), to_json(snapshot))
                except OSError as error:
                    guard.say("metrics page", "metrics cannot be shared with the other workers: %s", error)
            return snapshot
        finally:
            self._lock.release()

    def all(self) -> Snapshot:
        """The metrics of all workers, as they are now or a few seconds ago, and of those that are gone.

        Raises OSError and TimeoutError where the others' cannot be read: this worker's alone would be counters that
        go back.
        """
        own = self.write()
        return own if self._alive is None else merged([*self._others(), own])

    def _others(self) -> list[Snapshot]:
        """What the dead have counted, and the living; the dead's files become one."""
        with self._locked():
            folded, ids = self._read_folded()
            living, dead = self._find(ids)
            if dead:
                folded = lasting(merged([folded, *dead.values()]))
                _replace(os.path.join(self._folder, FOLDED), {"of": [*ids, *dead], "metrics": to_json(folded)})
                for name in dead:
                    self._remove(name)
        return [folded, *living]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(os.path.join(self._folder, "lock"), "wb") as file:
            end = time.monotonic() + LOCK_TIMEOUT_S
            while True:
                try:
                    # Asked again rather than waited for: a wait would hold up a whole hub of gevent's.
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise TimeoutError("another scrape takes too long") from None
                    time.sleep(0.01)
            yield

    def _read_folded(self) -> tuple[Snapshot, list[str]]:
        found = _read(os.path.join(self._folder, FOLDED))
        if not isinstance(found, dict):
            return {}, []
        # Whose files are gone needs no mention any more.
        return from_json(found["metrics"]), [name for name in found["of"] if os.path.exists(self._path("alive", name))]

    def _find(self, folded: list[str]) -> tuple[list[Snapshot], dict[str, Snapshot]]:
        living: list[Snapshot] = []
        dead: dict[str, Snapshot] = {}
        for entry in os.listdir(self._folder):
            name, _, kind = entry.rpartition(".")
            if kind != "alive" or name == self._name:
                continue
            if name in folded:
                self._remove(name)
                continue
            # Asked first: what it leaves while it is asked is read then.
            lives = _is_locked(self._path("alive", name))
            found = _read(self._path("json", name))
            snapshot = from_json(found) if isinstance(found, list) else {}
            if lives:
                living.append(snapshot)
            else:
                dead[name] = snapshot
        return living, dead

    def _remove(self, name: str) -> None:
        for kind in ("json", "json.new", "alive"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(kind, name))

    def _forget_others(self) -> None:
        """Remove the folders of servers that ended long ago."""
        for entry in os.scandir(self._base):
            if entry.name.startswith("metrics-") and entry.path != self._folder:
                newest = max((item.stat().st_mtime for item in os.scandir(entry.path)), default=entry.stat().st_mtime)
                if time.time() - newest > FORGOTTEN_S:
                    shutil.rmtree(entry.path, ignore_errors=True)


def _replace(path: str, value: Any) -> None:
    with open(f"{path}.new", "w") as file:
        json.dump(value, file)
    os.replace(f"{path}.new", path)


def _read(path: str) -> Any:
    try:
        with open(path) as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):
        return None


def _is_locked(path: str) -> bool:
    """Whether the worker that made this file lives: the kernel takes its lock when it ends, however it does."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
