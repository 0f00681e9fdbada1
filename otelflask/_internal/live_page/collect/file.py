"""The SQLite file that the workers of one server share, and a mark that tells them that the page is open."""

from __future__ import annotations

import functools
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from otelflask._internal.lifecycle.servers import has_ended, server_id
from otelflask._internal.shared_folder import SharedFolder, service_key

_SCHEMA = """
CREATE TABLE IF NOT EXISTS generation (name TEXT);
INSERT INTO generation SELECT lower(hex(randomblob(4))) WHERE NOT EXISTS (SELECT * FROM generation);
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT, span_id TEXT, time INTEGER, duration INTEGER, method TEXT,
    route TEXT, path TEXT, status INTEGER, queries INTEGER, query_time REAL, error TEXT, message TEXT,
    user TEXT, pid INTEGER, notable INTEGER, UNIQUE (trace_id, span_id)
);
CREATE INDEX IF NOT EXISTS requests_notable ON requests (notable, id);
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, trace_id TEXT, time INTEGER, duration INTEGER, subject TEXT,
    about TEXT, amount INTEGER, severity INTEGER, body TEXT
);
CREATE INDEX IF NOT EXISTS entries_trace ON entries (trace_id);
CREATE INDEX IF NOT EXISTS entries_kind ON entries (kind, id);
CREATE INDEX IF NOT EXISTS entries_subject ON entries (subject, about, duration, amount);
CREATE TABLE IF NOT EXISTS route_slots (
    worker TEXT, slot INTEGER, route TEXT, count INTEGER, failed INTEGER, total REAL, buckets TEXT,
    PRIMARY KEY (worker, slot, route)
);
CREATE TABLE IF NOT EXISTS worker_stats (
    worker TEXT, slot INTEGER, cpu REAL, memory INTEGER, active INTEGER, waiting INTEGER, dropped INTEGER,
    PRIMARY KEY (worker, slot)
);
CREATE TABLE IF NOT EXISTS processes (worker TEXT PRIMARY KEY, time REAL, body TEXT);
"""
#: The beginning of its name.
PREFIX = "monitor-"
#: The end of the name of the mark that a page is open.
_MARK = ".viewer"
#: Seconds that a write waits for another worker's.
BUSY_TIMEOUT_S = 2.0
#: Seconds without a reader after which the file of a dead server is removed.
FORGOTTEN_S = 60.0


class MonitorFile:
    """The shared file.

    Args:
        folder: A folder of this user. It is made when somebody opens the page.
        service: What the workers of one app have in common.
    """

    def __init__(self, folder: SharedFolder, service: str) -> None:
        self._folder = folder
        self._service = service_key(service)
        self._connections = threading.local()
        #: Whether this process serves no requests, and writes to the file of a server of the same service: the one
        #: whose page was read last.
        self.joins = False
        self._joined = ""

    @functools.cached_property
    def _server(self) -> str:
        """The server's id. It is read in a worker, whose parent is the server."""
        return server_id()

    @property
    def _name(self) -> str:
        return self._joined if self.joins else f"{PREFIX}{self._service}-{self._server}.sqlite3"

    def _find_joined(self) -> None:
        """Find the file of the server whose page was read last."""
        marks = [
            (self._folder.changed(name), name.removesuffix(_MARK))
            for name in self._folder.names(f"{PREFIX}{self._service}-")
            if name.endswith(f".sqlite3{_MARK}")
        ]
        self._joined = max(marks, default=(0.0, ""))[1]

    @property
    def path(self) -> str:
        """The file's path."""
        return self._folder.path_of(self._name)

    @property
    def is_of_this_process(self) -> bool:
        """Whether this process is the whole server, so that nobody can read the file after its end."""
        return not self.joins and self._server.partition("-")[0] == str(os.getpid())

    @property
    def generation(self) -> str:
        """An id of this file's rows. Another file's rows have the same numbers again."""
        with self.connected():
            return str(self._connections.known[2])

    def mark_open(self) -> None:
        """Mark the page as open. All workers see the mark by a file's modification time.

        Raises:
            OSError: The mark cannot be written.
            SettingError: The folder cannot be used.
        """
        os.utime(self._folder.make(f"{self._name}{_MARK}"))

    def opened_at(self) -> float:
        """When the page was last read, in epoch seconds; 0 for never."""
        if self.joins:
            self._find_joined()
        return self._folder.changed(f"{self._name}{_MARK}")

    def _forget_others(self) -> None:
        """Remove the files of dead servers."""
        for name in self._folder.names(PREFIX):
            server, dot, suffix = name.removeprefix(PREFIX).partition("-")[2].partition(".")
            # Not at once: it may belong to a container with processes of its own.
            parts = [f"{name}{part}" for part in ("", "-wal", _MARK)]
            newest = max(map(self._folder.changed, parts))
            if f"{dot}{suffix}" == ".sqlite3" and has_ended(server) and time.time() - newest > FORGOTTEN_S:
                self._folder.remove(*parts, f"{name}-shm")

    @contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        """Open a connection for this thread and process to the current file.

        A connection from before a fork is not used.

        Raises:
            OSError: The file cannot be used.
            SettingError: The folder cannot be used.
            sqlite3.Error: The database cannot be used.
        """
        known = getattr(self._connections, "known", None)
        if known is None or known[0] != self._identity():
            if known is not None and known[0][0] == os.getpid():
                known[1].close()
            try:
                connection, generation = self._open()
            except sqlite3.DatabaseError as error:
                self._remove_damaged(error)
                connection, generation = self._open()
            known = self._connections.known = (self._identity(), connection, generation)
        yield known[1]

    def _open(self) -> tuple[sqlite3.Connection, str]:
        if not os.path.exists(self.path):
            self._forget_others()
        self._folder.make(self._name)
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # What a crash of the machine would lose is lost with the processes anyway.
            connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(_SCHEMA)
            return connection, connection.execute("SELECT name FROM generation").fetchone()[0]
        except BaseException:
            connection.close()
            raise

    def _identity(self) -> tuple[int, int]:
        try:
            return os.getpid(), os.stat(self.path).st_ino
        except FileNotFoundError:
            return os.getpid(), 0

    @contextmanager
    def at_once(self, kind: str = "") -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction, so that all its reads see the same state.

        Args:
            kind: ``IMMEDIATE`` for a transaction that writes.
        """
        with self.connected() as connection:
            connection.execute(f"BEGIN {kind}")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                # A full disk ends it without a command.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.DatabaseError):
                    self._remove_damaged(error)
                raise

    def _remove_damaged(self, error: sqlite3.DatabaseError) -> None:
        """Remove a damaged file, so that another is made. Raise any other error again."""
        if type(error) is not sqlite3.DatabaseError:
            # Such as a locked database.
            raise error
        self._folder.remove(self._name, f"{self._name}-wal", f"{self._name}-shm")

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Read rows. Raises as `connected` does."""
        with self.connected() as connection:
            return connection.execute(query, values).fetchall()
