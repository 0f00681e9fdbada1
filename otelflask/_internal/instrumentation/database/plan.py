"""The plan of a slow statement: taken off the request, on a connection of its own, in no way able to write.

A plain EXPLAIN can write: it runs a second statement behind a ``;``, MariaDB
runs the functions of a derived table for it, PostgreSQL runs functions that
say of themselves that they are immutable. So only a single SELECT is
explained, in a transaction that the server keeps read-only, within a time
that the server keeps; and not where the database has functions of its own and
the user may write files of the server, which no transaction keeps back.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.pool import SingletonThreadPool, StaticPool

from otelflask._internal import guard
from otelflask._internal.compat.sqlalchemy import is_made_by_url
from otelflask._internal.instrumentation.database.sql import read
from otelflask._internal.lifecycle.worker import Worker
from otelflask._internal.locks import new_lock

#: Statements that wait for their plan, longest plan in characters, seconds that a server may take for one, and seconds
#: for which a record waits for its plan at most.
MAX_WAITING = 20
MAX_LENGTH = 8_000
TIMEOUT_S = 1.0
WAIT_S = 5.0
#: Seconds in which one statement is explained once: a server that is slow has enough to do.
REPEAT_S = 60.0

_INTO = re.compile(r"(?i)\binto\b")
#: PostgreSQL prints a string as the standard has it: a backslash in it is one.
_STANDARD_STRING = re.compile(r"'(?:[^']|'')*'")
_BEFORE = {
    # Of the transaction only: behind a pooler the session is somebody else's afterwards.
    "postgresql": ("SET TRANSACTION READ ONLY", f"SET LOCAL statement_timeout = {int(TIMEOUT_S * 1000)}"),
    "mariadb": (f"SET SESSION max_statement_time = {TIMEOUT_S}", "START TRANSACTION READ ONLY"),
    "mysql": (f"SET SESSION max_execution_time = {int(TIMEOUT_S * 1000)}", "START TRANSACTION READ ONLY"),
    "sqlite": ("PRAGMA query_only = ON",),
}
_EXPLAIN = {
    "postgresql": "EXPLAIN (FORMAT JSON) ",
    "mariadb": "EXPLAIN FORMAT=JSON ",
    "mysql": "EXPLAIN FORMAT=JSON ",
    "sqlite": "EXPLAIN QUERY PLAN ",
}
#: Whether a function that the planner runs could write a file of the server's.
_COULD_WRITE_FILES = {
    "postgresql": (
        "SELECT (r.rolsuper OR pg_has_role(r.oid, 'pg_write_server_files', 'MEMBER') "
        "OR pg_has_role(r.oid, 'pg_execute_server_program', 'MEMBER')) AND EXISTS (SELECT 1 FROM pg_proc p "
        "JOIN pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace "
        "WHERE l.lanname NOT IN ('internal', 'c') AND n.nspname NOT IN ('pg_catalog', 'information_schema')) "
        "FROM pg_roles r WHERE r.rolname = current_user"
    ),
    **dict.fromkeys(
        ("mariadb", "mysql"),
        "SELECT EXISTS (SELECT 1 FROM information_schema.user_privileges WHERE privilege_type = 'FILE') "
        "AND EXISTS (SELECT 1 FROM information_schema.routines WHERE routine_type = 'FUNCTION' "
        "AND routine_schema <> 'sys')",
    ),
}


class NoPlan(Exception):  # noqa: N818
    """There is no plan; the message says why."""


@dataclass(frozen=True, slots=True)
class Execution:
    """A statement as it was sent to the driver: engine, text, parameters, and whether it was run for many of them."""

    engine: Any
    statement: str
    parameters: Any
    many: bool


#: Takes the plan, and why there is none.
Tell = Callable[[str | None, str | None], None]


class _Waiting:
    """A statement whose record waits for its plan; it is told once, with the plan or without."""

    def __init__(self, execution: Execution, tell: Tell) -> None:
        self.execution = execution
        self._tell: Tell | None = tell
        self._lock = new_lock()
        self.told = threading.Event()
        # Where a server takes no connection, the thread that asks hangs for long.
        self._timer = threading.Timer(WAIT_S, self.tell, (None, f"no plan within {WAIT_S:g} s"))
        self._timer.daemon = True

    def start(self) -> None:
        """Begin to wait."""
        self._timer.start()

    def tell(self, plan: str | None, missing: str | None) -> None:
        """Tell it, unless it was."""
        with self._lock:
            tell, self._tell = self._tell, None
        if tell is not None:
            self._timer.cancel()
            guard.call_hook("a slow query's plan", tell, plan, missing)
            self.told.set()


class PlanReader:
    """Reads plans one after the other, in a thread that starts with the first one."""

    def __init__(self) -> None:
        self._worker = Worker("plans", self._read_all)
        self._lock = new_lock()
        self.after_fork()

    def after_fork(self) -> None:
        """What waited in the parent is the parent's."""
        self._waiting: deque[_Waiting] = deque()
        self._worker.after_fork()
        #: Of which the records are not told yet.
        self._untold: list[_Waiting] = []
        self._explained: dict[str, float] = {}

    def read_later(self, execution: Execution, tell: Tell) -> None:
        """Read its plan soon and `tell` it, in another thread; at once where there will be none."""
        try:
            _check(execution)
            self._check_repeated(execution.statement)
            if len(self._waiting) >= MAX_WAITING:
                raise NoPlan("too many wait for their plan")
        except NoPlan as error:
            tell(None, str(error))
            return
        waiting = _Waiting(execution, tell)
        waiting.start()
        self._waiting.append(waiting)
        with self._lock:
            self._untold = [item for item in self._untold if not item.told.is_set()]
            self._untold.append(waiting)
        self._worker.wake()

    def flush(self) -> None:
        """Wait for what is not told yet, for the time of one plan; the rest is told without."""
        end = time.monotonic() + TIMEOUT_S
        for waiting in list(self._untold):
            waiting.told.wait(max(0.0, end - time.monotonic()))
            waiting.tell(None, "the process ends")

    def _check_repeated(self, statement: str) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._explained.get(statement, -REPEAT_S) < REPEAT_S:
                raise NoPlan("told within the last minute")
            if len(self._explained) >= 1_000:
                self._explained.clear()
            self._explained[statement] = now

    def _read_all(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if waiting.told.is_set():
                continue
            plan, missing = guard.attempt(_plan_or_why, waiting.execution, instead=_without_plan)
            waiting.tell(plan, missing)


def _plan_or_why(execution: Execution) -> tuple[str | None, str | None]:
    return plan_of(execution), None


def _without_plan(error: Exception) -> tuple[str | None, str | None]:
    if isinstance(error, NoPlan):
        return None, str(error)
    # Not its words: they show the statement, with its values.
    code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None) or ""
    return None, f"{type(error).__name__} {code}".strip()


def _check(execution: Execution) -> None:
    """Raise NoPlan for what is not explained."""
    dialect = execution.engine.dialect
    if _name(dialect) not in _EXPLAIN:
        raise NoPlan(f"plans of {dialect.name} are not read")
    if dialect.is_async:
        raise NoPlan("plans of async engines are not read")
    pool = execution.engine.pool
    if isinstance(pool, (SingletonThreadPool, StaticPool)):
        # A second connection would be another database, or the app's own connection.
        raise NoPlan("plans of databases in memory are not read")
    if not is_made_by_url(pool):
        # It may give the app's own connection.
        raise NoPlan("plans of engines with a creator of their own are not read")
    if execution.many or read(execution.statement).operation != "SELECT":
        raise NoPlan("only a single SELECT is explained")
    # Also inside of a literal: a parameter is not part of the text.
    if ";" in execution.statement or _INTO.search(execution.statement):
        raise NoPlan("a statement with `;` or INTO is not explained")


def plan_of(execution: Execution) -> str:
    """The plan, as JSON or as SQLite's lines, without literals. Raises NoPlan, and the driver's errors."""
    _check(execution)
    engine = execution.engine
    name = _name(engine.dialect)
    # A pool of its own, with the engine's arguments and listeners: a failed EXPLAIN ends a transaction.
    pool = engine.pool.recreate()
    try:
        connection = pool.connect()
        try:
            driver: Any = connection.driver_connection
            if hasattr(driver, "prepare_threshold"):
                # psycopg 3: a prepared statement is a single one.
                driver.prepare_threshold = 0
            if name == "postgresql" and getattr(driver, "autocommit", False):
                # Outside of a transaction nothing would be read-only.
                driver.autocommit = False
            cursor = connection.cursor()
            for statement in _BEFORE[name]:
                cursor.execute(statement)
            if name in _COULD_WRITE_FILES:
                cursor.execute(_COULD_WRITE_FILES[name])
                if any(row[0] for row in cursor.fetchall()):
                    raise NoPlan("this user may write files of the server, and the database has functions of its own")
            engine.dialect.do_execute(cursor, _EXPLAIN[name] + execution.statement, execution.parameters)
            rows = cursor.fetchall()
            cursor.close()
            connection.rollback()
        finally:
            # Not handed on to anybody: it may have been left in whatever state.
            connection.invalidate()
    finally:
        pool.dispose()
    return _told(name, rows)


def _name(dialect: Any) -> str:
    return "mariadb" if getattr(dialect, "is_mariadb", False) else str(dialect.name)


def _told(name: str, rows: list[Any]) -> str:
    if name == "sqlite":
        # id, parent, unused, detail.
        depths: dict[Any, int] = {}
        lines = []
        for row in rows:
            depths[row[0]] = depths.get(row[1], -1) + 1
            lines.append("  " * depths[row[0]] + read(str(row[3])).text)
        return "\n".join(lines)[:MAX_LENGTH]
    plan = rows[0][0]
    if isinstance(plan, (str, bytes)):
        plan = json.loads(plan)
    return json.dumps(_without_literals(plan, name == "postgresql"), ensure_ascii=False)[:MAX_LENGTH]


def _without_literals(value: Any, is_standard: bool) -> Any:
    if isinstance(value, dict):
        return {key: _without_literals(item, is_standard) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_literals(item, is_standard) for item in value]
    if not isinstance(value, str):
        return value
    return read(_STANDARD_STRING.sub("?", value) if is_standard else value).text
