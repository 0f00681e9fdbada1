"""The local SQLite file that the workers of one server share, and the mark by which they see that somebody looks."""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from otelflask.pipeline.state import check_folder, is_gone, server_id

_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT UNIQUE, time INTEGER, duration INTEGER, method TEXT, route TEXT,
    path TEXT, status INTEGER, queries INTEGER, query_time REAL, error TEXT, user TEXT, pid INTEGER, notable INTEGER
);
CREATE INDEX IF NOT EXISTS requests_notable ON requests (notable, id);
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, trace_id TEXT, time INTEGER, duration INTEGER, name TEXT,
    subject TEXT, about TEXT, amount INTEGER, severity INTEGER, body TEXT, pid INTEGER, key TEXT UNIQUE
);
CREATE INDEX IF NOT EXISTS entries_trace ON entries (trace_id);
CREATE INDEX IF NOT EXISTS entries_kind ON entries (kind, id);
CREATE INDEX IF NOT EXISTS entries_subject ON entries (subject, about, id);
CREATE TABLE IF NOT EXISTS tiles (
    pid INTEGER, slot INTEGER, route TEXT, count INTEGER, failed INTEGER, total REAL, buckets TEXT,
    PRIMARY KEY (pid, slot, route)
);
CREATE TABLE IF NOT EXISTS vitals (
    pid INTEGER, slot INTEGER, cpu REAL, memory INTEGER, active INTEGER, waiting INTEGER, dropped INTEGER,
    PRIMARY KEY (pid, slot)
);
CREATE TABLE IF NOT EXISTS processes (pid INTEGER PRIMARY KEY, time REAL, body TEXT);
"""
#: Seconds that a write waits for another worker's.
BUSY_TIMEOUT_S = 2.0
#: Seconds without a look after which the file of a server that is gone is removed.
FORGOTTEN_S = 60.0


class MonitorFile:
    """In: a folder of this user's, made when somebody looks; what the workers of one app have in common."""

    def __init__(self, folder: str, service: str) -> None:
        self._folder = folder
        self._service = hashlib.blake2b(service.encode(), digest_size=8).hexdigest()
        self._connections = threading.local()

    @functools.cached_property
    def path(self) -> str:
        """The file's; asked for in a worker, whose parent is the server."""
        return os.path.join(self._folder, f"monitor-{self._service}-{server_id()}.sqlite3")

    @functools.cached_property
    def era(self) -> str:
        """What tells this server's rows from those of the one before: numbers of rows begin anew with each."""
        return hashlib.blake2b(self.path.encode(), digest_size=4).hexdigest()

    def look(self) -> None:
        """Somebody looks: all workers see it by the time of a file's change. Raises OSError and SettingError."""
        check_folder(self._folder)
        mark = f"{self.path}.viewer"
        if not os.path.exists(mark):
            self._forget_others()
        with open(mark, "ab"):
            os.utime(mark)

    def looked_at(self) -> float:
        """Epoch seconds of the last look; 0 where nobody has looked."""
        try:
            return os.stat(f"{self.path}.viewer").st_mtime
        except OSError:
            return 0.0

    def _forget_others(self) -> None:
        """Remove what servers that are gone have left."""
        prefix = os.path.join(self._folder, "monitor-")
        for mark in glob.glob(f"{glob.escape(prefix)}*.viewer"):
            server = mark.removeprefix(prefix).partition("-")[2].partition(".")[0]
            with contextlib.suppress(FileNotFoundError):
                # Not too soon: it may be that of a container with processes of its own.
                if is_gone(server) and time.time() - os.stat(mark).st_mtime > FORGOTTEN_S:
                    file = mark.removesuffix(".viewer")
                    for path in (file, f"{file}-wal", f"{file}-shm", mark):
                        with contextlib.suppress(FileNotFoundError):
                            os.unlink(path)

    @contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection to the file that is there now, opened in this process.

        One that was open before a fork is not ours. Raises sqlite3.Error where the file cannot be used.
        """
        known = getattr(self._connections, "known", None)
        if known is None or known[0] != self._identity():
            connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            os.chmod(self.path, 0o600)
            connection.execute("PRAGMA journal_mode = WAL")
            # What a crash of the machine would lose is lost with the processes anyway.
            connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(_SCHEMA)
            known = self._connections.known = (self._identity(), connection)
        yield known[1]

    def _identity(self) -> tuple[int, int]:
        try:
            return os.getpid(), os.stat(self.path).st_ino
        except FileNotFoundError:
            return os.getpid(), 0

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows. Raises sqlite3.Error."""
        with self.connected() as connection:
            return connection.execute(query, values).fetchall()
