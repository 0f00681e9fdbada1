"""The plan of a slow statement: read outside the request, on a connection of its own that cannot write.

A plain EXPLAIN can write. It runs a second statement behind a ``;``. MariaDB runs the functions of
a derived table for it, and PostgreSQL runs functions that are declared immutable. So only a single
SELECT is explained, in a transaction that the server keeps read-only, with a timeout that the
server keeps. It is not explained where the database has functions of its own and the user may
write files of the server, because no transaction prevents that.
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

#: The most statements that wait for a plan; the longest plan in characters; seconds that a server may take for a plan;
#: and seconds that a record waits for it.
MAX_WAITING = 20
MAX_LENGTH = 8_000
TIMEOUT_S = 1.0
WAIT_S = 5.0
#: Seconds in which a statement is explained only once, to spare a slow server.
REPEAT_S = 60.0

_INTO = re.compile(r"(?i)\binto\b")
#: PostgreSQL prints strings in the standard form, in which a backslash is an ordinary character.
_STANDARD_STRING = re.compile(r"'(?:[^']|'')*'")
_BEFORE = {
    # Only for the transaction: behind a pooler the session is shared.
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
#: Whether a function that the planner runs could write a file of the server.
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
    """There is no plan. The message says why."""


@dataclass(frozen=True, slots=True)
class Execution:
    """A statement as it was sent to the driver. `many`: whether it ran for many sets of parameters."""

    engine: Any
    statement: str
    parameters: Any
    many: bool


#: Called with the plan, or with the reason why there is none.
ReportPlan = Callable[[str | None, str | None], None]


class _Waiting:
    """A statement with a record that waits for its plan. It is reported once, with or without the plan."""

    def __init__(self, execution: Execution, report: ReportPlan) -> None:
        self.execution = execution
        self._report: ReportPlan | None = report
        self._lock = new_lock()
        self.reported = threading.Event()
        # Where a server accepts no connection, the reading thread hangs for long.
        self._timer = threading.Timer(WAIT_S, self.report, (None, f"no plan within {WAIT_S:g} s"))
        self._timer.daemon = True

    def start(self) -> None:
        """Begin to wait."""
        self._timer.start()

    def report(self, plan: str | None, missing: str | None) -> None:
        """Report the statement, unless it was reported."""
        with self._lock:
            report, self._report = self._report, None
        if report is not None:
            self._timer.cancel()
            guard.call_hook("a slow query's plan", report, plan, missing)
            self.reported.set()


class PlanReader:
    """Reads plans one after the other, in a thread that starts with the first one."""

    def __init__(self) -> None:
        self._worker = Worker("plans", self._read_all)
        self._lock = new_lock()
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the parent's statements."""
        self._waiting: deque[_Waiting] = deque()
        self._worker.after_fork()
        #: Statements that are not reported yet.
        self._pending: list[_Waiting] = []
        self._explained: dict[str, float] = {}

    def read_later(self, execution: Execution, report: ReportPlan) -> None:
        """Read a plan soon, in another thread, and `report` it. Report at once where there will be none."""
        try:
            _check(execution)
            self._check_repeated(execution.statement)
            if len(self._waiting) >= MAX_WAITING:
                raise NoPlan("too many wait for their plan")
        except NoPlan as error:
            report(None, str(error))
            return
        waiting = _Waiting(execution, report)
        waiting.start()
        self._waiting.append(waiting)
        with self._lock:
            self._pending = [item for item in self._pending if not item.reported.is_set()]
            self._pending.append(waiting)
        self._worker.wake()

    def flush(self) -> None:
        """Wait for unreported statements, for the time of one plan. Report the rest without a plan."""
        end = time.monotonic() + TIMEOUT_S
        for waiting in list(self._pending):
            waiting.reported.wait(max(0.0, end - time.monotonic()))
            waiting.report(None, "the process ends")

    def _check_repeated(self, statement: str) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._explained.get(statement, -REPEAT_S) < REPEAT_S:
                raise NoPlan("explained within the last minute")
            if len(self._explained) >= 1_000:
                self._explained.clear()
            self._explained[statement] = now

    def _read_all(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if waiting.reported.is_set():
                continue
            plan, missing = guard.attempt(_plan_or_reason, waiting.execution, instead=_without_plan)
            waiting.report(plan, missing)


def _plan_or_reason(execution: Execution) -> tuple[str | None, str | None]:
    return plan_of(execution), None


def _without_plan(error: Exception) -> tuple[str | None, str | None]:
    if isinstance(error, NoPlan):
        return None, str(error)
    # Not the error's text: it shows the statement with its values.
    code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None) or ""
    return None, f"{type(error).__name__} {code}".strip()


def _check(execution: Execution) -> None:
    """Raise NoPlan for a statement that must not be explained."""
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
        # It may return the app's own connection.
        raise NoPlan("plans of engines with a creator of their own are not read")
    if execution.many or read(execution.statement).operation != "SELECT":
        raise NoPlan("only a single SELECT is explained")
    # Also within a literal: a parameter is not part of the text.
    if ";" in execution.statement or _INTO.search(execution.statement):
        raise NoPlan("a statement with `;` or INTO is not explained")


def plan_of(execution: Execution) -> str:
    """Read a plan, as JSON or as SQLite's lines, without literals.

    Raises:
        NoPlan: The statement must not be explained.
        Exception: An error of the driver.
    """
    _check(execution)
    engine = execution.engine
    name = _name(engine.dialect)
    # A pool of its own with the engine's arguments and listeners: a failed EXPLAIN ends a transaction.
    pool = engine.pool.recreate()
    try:
        connection = pool.connect()
        try:
            driver: Any = connection.driver_connection
            if hasattr(driver, "prepare_threshold"):
                # psycopg 3: a prepared statement can only be a single one.
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
            # Never reused, whatever its state.
            connection.invalidate()
    finally:
        pool.dispose()
    return _plan_text(name, rows)


def _name(dialect: Any) -> str:
    return "mariadb" if getattr(dialect, "is_mariadb", False) else str(dialect.name)


def _plan_text(name: str, rows: list[Any]) -> str:
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
