"""The plan of a slow statement: read outside the request, on a connection of its own that cannot write.

A plain EXPLAIN can write. With a ``;`` in the text, the second statement is run. For EXPLAIN,
MariaDB runs functions in a derived table, and PostgreSQL runs functions that are declared
immutable. So only a single SELECT is explained, in a read-only transaction and with a timeout, both
enforced by the server (SQLite: read-only, without a timeout). It is not explained where the
database has functions of its own and the database user may write files on the server, because a
read-only transaction does not prevent that.
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
from otelflask._internal.instrumentation.database.lexis import Rules, rules_of
from otelflask._internal.instrumentation.database.sql import read
from otelflask._internal.lifecycle.background_task import BackgroundTask
from otelflask._internal.locks import new_lock

#: The maximum number of statements that wait for a plan.
MAX_WAITING = 20
#: The maximum length of a plan, in characters.
MAX_PLAN_LENGTH = 8_000
#: Seconds that a server may take for a plan.
PLAN_TIMEOUT_S = 1.0
#: Seconds that a record waits for its plan.
RECORD_WAIT_S = 5.0
#: Seconds in which a statement is explained only once, to spare a slow server.
REPEAT_S = 60.0

_INTO = re.compile(r"(?i)\binto\b")
_SETUP_STATEMENTS = {
    # Only for the transaction: behind a pooler the session is shared.
    "postgresql": ("SET TRANSACTION READ ONLY", f"SET LOCAL statement_timeout = {int(PLAN_TIMEOUT_S * 1000)}"),
    "mariadb": (f"SET SESSION max_statement_time = {PLAN_TIMEOUT_S}", "START TRANSACTION READ ONLY"),
    "mysql": (f"SET SESSION max_execution_time = {int(PLAN_TIMEOUT_S * 1000)}", "START TRANSACTION READ ONLY"),
    "sqlite": ("PRAGMA query_only = ON",),
}
_EXPLAIN = {
    "postgresql": "EXPLAIN (FORMAT JSON) ",
    "mariadb": "EXPLAIN FORMAT=JSON ",
    "mysql": "EXPLAIN FORMAT=JSON ",
    "sqlite": "EXPLAIN QUERY PLAN ",
}
#: Queries that tell whether a function that the planner runs could write a file on the server.
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
    """A statement as it was sent to the driver. `executemany`: whether it ran for many sets of parameters."""

    engine: Any
    statement: str
    parameters: Any
    executemany: bool


#: Called with the plan, or with the reason why there is none.
EmitWithPlan = Callable[[str | None, str | None], None]


class _Waiting:
    """A slow statement whose log record waits for the plan. The record is emitted exactly once, with or without it."""

    def __init__(self, execution: Execution, emit: EmitWithPlan) -> None:
        #: None once the record is emitted, so that it keeps no engine and no values alive.
        self.execution: Execution | None = execution
        self._emit: EmitWithPlan | None = emit
        self._lock = new_lock()
        self.emitted = threading.Event()
        # Where a server accepts no connection, the reading thread hangs for long.
        self._timer = threading.Timer(RECORD_WAIT_S, self.emit, (None, f"no plan within {RECORD_WAIT_S:g} s"))
        self._timer.daemon = True

    def start(self) -> None:
        """Begin to wait."""
        self._timer.start()

    def emit(self, plan: str | None, missing: str | None) -> None:
        """Emit the record, unless it was emitted."""
        with self._lock:
            emit, self._emit, self.execution = self._emit, None, None
        if emit is not None:
            self._timer.cancel()
            guard.call_hook("record of a slow query", emit, plan, missing)
            self.emitted.set()


class PlanReader:
    """Reads plans one after the other, in a thread that starts with the first one."""

    def __init__(self) -> None:
        self._task = BackgroundTask("plans", self._read_all)
        self._lock = new_lock()
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the parent's statements."""
        self._waiting: deque[_Waiting] = deque()
        self._task.after_fork()
        #: Statements whose records were not emitted when they were last checked.
        self._unemitted: list[_Waiting] = []
        self._explained: dict[str, float] = {}

    def read_later(self, execution: Execution, emit: EmitWithPlan) -> None:
        """Read a plan soon, in another thread, and `emit` the record with it. Emit at once where there is no plan."""
        try:
            _check(execution)
            self._check_repeated(execution.statement)
            if len(self._waiting) >= MAX_WAITING:
                raise NoPlan("too many statements wait for a plan")
        except NoPlan as error:
            emit(None, str(error))
            return
        waiting = _Waiting(execution, emit)
        waiting.start()
        self._waiting.append(waiting)
        with self._lock:
            self._unemitted = [item for item in self._unemitted if not item.emitted.is_set()]
            self._unemitted.append(waiting)
        self._task.wake()

    def flush(self) -> None:
        """Wait for records that are not emitted, for the time of one plan. Emit the rest without a plan."""
        end = time.monotonic() + PLAN_TIMEOUT_S
        for waiting in list(self._unemitted):
            waiting.emitted.wait(max(0.0, end - time.monotonic()))
            waiting.emit(None, "telemetry was flushed before the plan was read")

    def _check_repeated(self, statement: str) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._explained.get(statement, -REPEAT_S) < REPEAT_S:
                raise NoPlan("a plan was requested within the last minute")
            if len(self._explained) >= 1_000:
                self._explained.clear()
            self._explained[statement] = now

    def _read_all(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            execution = waiting.execution
            if execution is None:
                continue
            plan, missing = guard.attempt(_plan_or_reason, execution, on_error=_without_plan)
            waiting.emit(plan, missing)


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
        raise NoPlan("plans are not read with a StaticPool or SingletonThreadPool")
    if not is_made_by_url(pool):
        # It may return the app's own connection.
        raise NoPlan("plans of engines with a `creator` function are not read")
    if execution.executemany or read(execution.statement, rules_of(dialect)).operation != "SELECT":
        raise NoPlan("only a single SELECT is explained")
    # This also refuses a `;` inside a literal. Values are usually parameters, which are not in the text.
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
    # A new pool with the engine's arguments and listeners, because a failed EXPLAIN aborts its connection's
    # transaction.
    pool = engine.pool.recreate()
    try:
        connection = pool.connect()
        try:
            driver: Any = connection.driver_connection
            if hasattr(driver, "prepare_threshold"):
                # psycopg 3: 0 prepares every statement, and the server refuses to prepare more than one at once.
                driver.prepare_threshold = 0
            if name == "postgresql" and getattr(driver, "autocommit", False):
                # Outside of a transaction nothing would be read-only.
                driver.autocommit = False
            cursor = connection.cursor()
            for statement in _SETUP_STATEMENTS[name]:
                cursor.execute(statement)
            if name in _COULD_WRITE_FILES:
                cursor.execute(_COULD_WRITE_FILES[name])
                if any(row[0] for row in cursor.fetchall()):
                    raise NoPlan(
                        "the database user may write files on the server, and the database has functions of its own"
                    )
            engine.dialect.do_execute(cursor, _EXPLAIN[name] + execution.statement, execution.parameters)
            rows = cursor.fetchall()
            cursor.close()
            connection.rollback()
        finally:
            # Never reused, whatever its state.
            connection.invalidate()
    finally:
        pool.dispose()
    return _plan_text(name, rows, rules_of(engine.dialect))


def _name(dialect: Any) -> str:
    return "mariadb" if getattr(dialect, "is_mariadb", False) else str(dialect.name)


def _plan_text(name: str, rows: list[Any], rules: Rules) -> str:
    if name == "sqlite":
        # id, parent, unused, detail.
        depths: dict[Any, int] = {}
        lines = []
        for row in rows:
            depths[row[0]] = depths.get(row[1], -1) + 1
            lines.append("  " * depths[row[0]] + read(str(row[3]), rules).text)
        return "\n".join(lines)[:MAX_PLAN_LENGTH]
    plan = rows[0][0]
    if isinstance(plan, (str, bytes)):
        plan = json.loads(plan)
    return json.dumps(_without_literals(plan, rules), ensure_ascii=False)[:MAX_PLAN_LENGTH]


def _without_literals(value: Any, rules: Rules) -> Any:
    if isinstance(value, dict):
        return {key: _without_literals(item, rules) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_literals(item, rules) for item in value]
    return read(value, rules).text if isinstance(value, str) else value
