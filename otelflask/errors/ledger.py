"""Which group of errors was mailed when: shared by the processes of a machine, so that four workers write one mail.

A small SQLite file: it locks between processes, survives a killed one, and is
read and written by the mailing thread only.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from otelflask.settings import SettingError

INTERVAL_S = 3_600
DAY_S = 86_400
#: What is forgotten: a group that was quiet for this long starts anew.
FORGET_S = 30 * DAY_S

_TABLES = """
CREATE TABLE IF NOT EXISTS mailed (
    service TEXT, fingerprint TEXT, mailed_at REAL, held_back INTEGER, PRIMARY KEY (service, fingerprint)
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


class Ledger:
    """One mail a group an hour, and a number a day.

    In: a folder of this user's (``pipeline.state``), what the processes of
    one app have in common, and mails a day. Raises SettingError where the
    folder takes no file.
    """

    def __init__(self, folder: str, service: str, per_day: int) -> None:
        self._path = os.path.join(folder, "mail.sqlite3")
        self._service = service
        self._per_day = per_day
        try:
            with self._open() as database:
                database.executescript(_TABLES)
        except sqlite3.Error as error:
            raise SettingError(
                f"state_dir is {folder!r}, where no file can be kept ({error}); allowed is a folder that this process "
                "can write"
            ) from None

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # A connection each time: none may be carried over a fork.
        with contextlib.closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as database:
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
        """Ask to write a mail. In: the group, its new occurrences, epoch seconds. Out: None where it is not its hour,
        or where the day's number is reached; the occurrences are kept for the next mail."""
        day = int(now // DAY_S)
        with self._transaction() as database:
            database.execute("DELETE FROM mailed WHERE mailed_at < ?", (now - FORGET_S,))
            database.execute("DELETE FROM days WHERE day < ?", (day,))
            key = (self._service, fingerprint)
            row = database.execute(
                "SELECT mailed_at, held_back FROM mailed WHERE service = ? AND fingerprint = ?", key
            ).fetchone()
            mailed_at, held_back = row or (None, 0)
            mails = database.execute(
                "SELECT mails FROM days WHERE service = ? AND day = ?", (self._service, day)
            ).fetchone()
            today = mails[0] if mails else 0
            if today >= self._per_day or (mailed_at is not None and now - mailed_at < INTERVAL_S):
                database.execute(
                    "INSERT OR REPLACE INTO mailed VALUES (?, ?, ?, ?)", (*key, mailed_at, held_back + occurrences)
                )
                return None
            database.execute("INSERT OR REPLACE INTO mailed VALUES (?, ?, ?, 0)", (*key, now))
            database.execute("INSERT OR REPLACE INTO days VALUES (?, ?, ?)", (self._service, day, today + 1))
            return Claim(held_back + occurrences, mailed_at, self._per_day - today - 1)

    def give_back(self, fingerprint: str, claim: Claim, now: float) -> None:
        """The mail of this claim could not be written: the next occurrence may try again."""
        with self._transaction() as database:
            database.execute(
                "UPDATE mailed SET mailed_at = ?, held_back = held_back + ? WHERE service = ? AND fingerprint = ?",
                (claim.since, claim.occurrences, self._service, fingerprint),
            )
            database.execute(
                "UPDATE days SET mails = mails - 1 WHERE service = ? AND day = ? AND mails > 0",
                (self._service, int(now // DAY_S)),
            )
