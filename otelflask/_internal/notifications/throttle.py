"""Which group of errors was mailed when: shared by the processes of a machine, so that four workers write one mail.

A small SQLite file: it locks between processes, survives a killed one, and is
read and written by the mailing thread only.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from otelflask._internal.settings import SettingError
from otelflask._internal.shared_folder import SharedFolder

INTERVAL_S = 3_600
DAY_S = 86_400
#: What is forgotten: a group that was quiet for this long starts anew.
FORGET_S = 30 * DAY_S

#: A process that is killed while it sends leaves its claim; after this many seconds another may send.
SENDING_S = 600

_TABLES = """
CREATE TABLE IF NOT EXISTS mailed (
    service TEXT, fingerprint TEXT, mailed_at REAL, held_back INTEGER, sending_until REAL, seen_at REAL,
    PRIMARY KEY (service, fingerprint)
);
CREATE TABLE IF NOT EXISTS days (service TEXT, day INTEGER, mails INTEGER, PRIMARY KEY (service, day));
"""


class Claim(NamedTuple):
    """The right to write one mail."""

    #: Occurrences since the mail before, this one's included, and when that mail was (epoch seconds; None: never).
    occurrences: int
    since: float | None
    #: Mails that may still be written today.
    left_today: int


class Throttle:
    """One mail a group an hour, and a number a day.

    In: the folder, what the processes of
    one app have in common, and mails a day. Raises SettingError where the
    folder takes no file.
    """

    def __init__(self, folder: SharedFolder, service: str, per_day: int) -> None:
        self._folder = folder
        self._service = service
        self._per_day = per_day
        try:
            with self._open():
                pass
        except (OSError, sqlite3.Error) as error:
            raise SettingError(
                f"state_dir is {folder.path!r}, where no file can be kept ({error}); allowed is a folder that this "
                "process can write"
            ) from None

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # Made anew where somebody has cleaned up; a connection each time, because none may be carried over a fork.
        path = self._folder.make("mail.sqlite3")
        with contextlib.closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as database:
            database.executescript(_TABLES)
            yield database

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def claim(self, fingerprint: str, occurrences: int, now: float) -> Claim | None:
        """Ask to write a mail. In: the group, its new occurrences, epoch seconds.

        Out: None where it is not its hour, where another process is at it, or where the day's number is reached; the
        occurrences are kept for the next mail. After a claim either `sent` or `failed` is to be called.
        """
        day = int(now // DAY_S)
        with self._transaction() as database:
            database.execute("DELETE FROM mailed WHERE seen_at < ?", (now - FORGET_S,))
            database.execute("DELETE FROM days WHERE day < ?", (day,))
            key = (self._service, fingerprint)
            row = database.execute(
                "SELECT mailed_at, held_back, sending_until FROM mailed WHERE service = ? AND fingerprint = ?", key
            ).fetchone()
            mailed_at, held_back, sending_until = row or (None, 0, 0.0)
            held_back += occurrences
            today = self._mails_of(database, day)
            may = (
                today < self._per_day and now >= sending_until and (mailed_at is None or now - mailed_at >= INTERVAL_S)
            )
            until = now + SENDING_S if may else sending_until
            database.execute(
                "INSERT OR REPLACE INTO mailed VALUES (?, ?, ?, ?, ?, ?)", (*key, mailed_at, held_back, until, now)
            )
            if not may:
                return None
            database.execute("INSERT OR REPLACE INTO days VALUES (?, ?, ?)", (self._service, day, today + 1))
            return Claim(held_back, mailed_at, self._per_day - today - 1)

    def _mails_of(self, database: sqlite3.Connection, day: int) -> int:
        row = database.execute("SELECT mails FROM days WHERE service = ? AND day = ?", (self._service, day)).fetchone()
        return int(row[0]) if row else 0

    def sent(self, fingerprint: str, claim: Claim, now: float) -> None:
        """The mail of this claim was taken by the server."""
        with self._transaction() as database:
            database.execute(
                "UPDATE mailed SET mailed_at = ?, held_back = held_back - ?, sending_until = 0"
                " WHERE service = ? AND fingerprint = ?",
                (now, claim.occurrences, self._service, fingerprint),
            )

    def failed(self, fingerprint: str, now: float) -> None:
        """The mail of the last claim was not taken: the next occurrence may try again, with all since."""
        with self._transaction() as database:
            database.execute(
                "UPDATE mailed SET sending_until = 0 WHERE service = ? AND fingerprint = ?",
                (self._service, fingerprint),
            )
            database.execute(
                "UPDATE days SET mails = mails - 1 WHERE service = ? AND day = ? AND mails > 0",
                (self._service, int(now // DAY_S)),
            )
