"""The plan of a slow statement: taken off the request, on a connection of its own, in no way able to write.

A plain EXPLAIN can write: it runs a second statement behind a ``;``, MariaDB
runs the functions of a derived table for it, PostgreSQL runs functions that
say of themselves that they are immutable. So only a single SELECT is
explained, in a transaction that the server keeps read-only, within a time
that the server keeps.
"""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from otelflask import guard
from otelflask.database.sql import read

#: Statements that wait for their plan, longest plan in characters, and seconds that a server may take for one.
MAX_WAITING = 20
MAX_LENGTH = 8_000
TIMEOUT_S = 1.0
#: Seconds in which one statement is explained once: a server that is slow has enough to do.
REPEAT_S = 60.0
#: Seconds that the end of the process waits for plans.
FLUSH_S = 2.0

_INTO = re.compile(r"(?i)\binto\b")
_BEFORE = {
    # Of the transaction that the driver has begun, and of those that an autocommit makes.
    "postgresql": (
        "SET TRANSACTION READ ONLY",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        f"SET statement_timeout = {int(TIMEOUT_S * 1000)}",
    ),
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


class PlanReader:
    """Reads plans one after the other, in a thread that starts with the first one."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """What waited in the parent is the parent's."""
        self._waiting: queue.Queue[tuple[Execution, Tell]] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._explained: dict[str, float] = {}

    def read_later(self, execution: Execution, tell: Tell) -> None:
        """Read its plan soon and `tell` it, in another thread; at once where there will be none."""
        try:
            _check(execution)
            self._check_repeated(execution.statement)
            self._waiting.put_nowait((execution, tell))
        except NoPlan as error:
            tell(None, str(error))
        except queue.Full:
            tell(None, "too many wait for their plan")
        else:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="otelflask-plans", daemon=True)
                    self._thread.start()

    def flush(self) -> None:
        """Wait for what waits; what is not read in time is told without its plan."""
        end = time.monotonic() + FLUSH_S
        while self._waiting.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.01)
        while True:
            try:
                _, tell = self._waiting.get_nowait()
            except queue.Empty:
                return
            tell(None, "the process ended")
            self._waiting.task_done()

    def _check_repeated(self, statement: str) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._explained.get(statement, -REPEAT_S) < REPEAT_S:
                raise NoPlan("told within the last minute")
            if len(self._explained) >= 1_000:
                self._explained.clear()
            self._explained[statement] = now

    def _run(self) -> None:
        while True:
            execution, tell = self._waiting.get()
            try:
                with suppress_instrumentation():
                    tell(plan_of(execution), None)
            except Exception as error:
                guard.call_hook("a slow query without a plan", tell, None, f"{type(error).__name__}: {error}"[:500])
            finally:
                self._waiting.task_done()


def _check(execution: Execution) -> None:
    """Raise NoPlan for what is not explained."""
    dialect = execution.engine.dialect
    if _name(dialect) not in _EXPLAIN:
        raise NoPlan(f"plans of {dialect.name} are not read")
    if dialect.is_async:
        raise NoPlan("plans of async engines are not read")
    if isinstance(execution.engine.pool, (SingletonThreadPool, StaticPool)):
        # A second connection would be another database, or the app's own connection.
        raise NoPlan("plans of databases in memory are not read")
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
            if hasattr(connection.driver_connection, "prepare_threshold"):
                # psycopg 3: a prepared statement is a single one.
                connection.driver_connection.prepare_threshold = 0
            cursor = connection.cursor()
            for statement in _BEFORE[name]:
                cursor.execute(statement)
            engine.dialect.do_execute(cursor, _EXPLAIN[name] + execution.statement, execution.parameters)
            rows = cursor.fetchall()
            cursor.close()
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
    return json.dumps(_without_literals(plan), ensure_ascii=False)[:MAX_LENGTH]


def _without_literals(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_literals(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_literals(item) for item in value]
    return read(value).text if isinstance(value, str) else value
