"""When each group of errors was mailed, shared by the processes of a machine: four workers send one mail.

It is a small SQLite file: it locks between processes and survives a killed one. Only the mailing
thread uses it.
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
#: Seconds after which a silent group is forgotten.
FORGET_S = 30 * DAY_S

#: Seconds after which the claim of a process that was killed while sending expires.
SENDING_S = 600

_TABLES = """
CREATE TABLE IF NOT EXISTS mailed (
    service TEXT, fingerprint TEXT, mailed_at REAL, held_back INTEGER, sending_until REAL, seen_at REAL,
    PRIMARY KEY (service, fingerprint)
);
CREATE TABLE IF NOT EXISTS days (service TEXT, day INTEGER, mails INTEGER, PRIMARY KEY (service, day));
"""


class Claim(NamedTuple):
    """The right to send one mail."""

    #: Occurrences since the last mail, and when that was (epoch seconds; None: never).
    occurrences: int
    since: float | None
    #: The number of mails that are still allowed today.
    left_today: int


class Throttle:
    """Allows one mail a group an hour, and a number of mails a day.

    Args:
        folder: The folder of the file.
        service: What the processes of one app have in common.
        per_day: Mails a day.

    Raises:
        SettingError: The folder cannot be written.
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
        # Made again where somebody has removed it. One connection a use, because none survives a fork.
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
        """Claim the right to send a mail. After a claim, call `sent` or `failed`.

        Args:
            fingerprint: The group.
            occurrences: Its new occurrences.
            now: Epoch seconds.

        Returns:
            The claim. None within the hour, while another process sends, and above the daily limit: then
            the occurrences are kept for the next mail.
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
        """The server has accepted the mail of this claim."""
        with self._transaction() as database:
            database.execute(
                "UPDATE mailed SET mailed_at = ?, held_back = held_back - ?, sending_until = 0"
                " WHERE service = ? AND fingerprint = ?",
                (now, claim.occurrences, self._service, fingerprint),
            )

    def failed(self, fingerprint: str, now: float) -> None:
        """The mail was not accepted: the next occurrence may claim again, with all occurrences since."""
        with self._transaction() as database:
            database.execute(
                "UPDATE mailed SET sending_until = 0 WHERE service = ? AND fingerprint = ?",
                (self._service, fingerprint),
            )
            database.execute(
                "UPDATE days SET mails = mails - 1 WHERE service = ? AND day = ? AND mails > 0",
                (self._service, int(now // DAY_S)),
            )
