"""Telemetry of one SQLAlchemy engine: a span and a duration per statement, and its pool.

It wraps the functions of the engine's dialect that send statements and end transactions, and `connect`
of its pool. SQLAlchemy's events would cost more: one listener on an engine has all of its events
dispatched. So 2.0 and 2.1, sync and async engines, all kinds of pools and engines from before or after
``init`` work alike. Names: semantic conventions for databases. Spans and the duration of operations are
stable, metrics of connections in development.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram
from opentelemetry.trace import SpanKind
from opentelemetry.trace.status import Status, StatusCode
from sqlalchemy import event
from sqlalchemy.engine import Engine

from otelflask._internal import clock, guard
from otelflask._internal.attribute_layers import Interned
from otelflask._internal.compat.otel_api import (
    NO_STATE,
    SPAN_KEY,
    SUPPRESS_INSTRUMENTATION_KEY,
    attach,
    current_context,
    detach,
    without_instrumentation,
)
from otelflask._internal.compat.otel_trace import ids_and_state_of
from otelflask._internal.compat.sqlalchemy import resets_by_commit
from otelflask._internal.exceptions.attributes import exception_type
from otelflask._internal.instrumentation.database.commenter import Commenter
from otelflask._internal.instrumentation.database.lexis import Rules, rules_of
from otelflask._internal.instrumentation.database.plan import Execution
from otelflask._internal.instrumentation.database.pools import PoolMetrics
from otelflask._internal.instrumentation.database.query_statistics import caller_location, location_attributes
from otelflask._internal.instrumentation.database.request_queries import RequestQueries, note_failure
from otelflask._internal.instrumentation.database.server import server_attributes
from otelflask._internal.instrumentation.database.slow_queries import SlowQueries
from otelflask._internal.instrumentation.database.statements import MAX_READ, KnownStatement
from otelflask._internal.instrumentation.database.views import StatementViews
from otelflask._internal.sdk.flat_items import Flat, flat_attributes
from otelflask._internal.sdk.spans import Span, SpanStarter

#: The functions of a dialect that send a statement.
_SENDING = ("do_execute", "do_executemany", "do_execute_no_params")


@dataclass(frozen=True, slots=True)
class Shared:
    """What all engines share. `commenter` and `views` may be None."""

    starter: SpanStarter
    slow: SlowQueries
    queries: RequestQueries
    pools: PoolMetrics
    duration: Histogram
    commenter: Commenter | None
    views: StatementViews | None


@dataclass(slots=True)
class _Run:
    """One run of a statement. `started` is by `clock.perf_counter_ns`, `started_at` in epoch nanoseconds.

    Its span is made at its end, unless somebody sees it earlier.
    """

    known: KnownStatement
    #: What is read of it, and what is sent.
    statement: str
    sent: str
    parameters: Any
    #: SQLAlchemy's execution context; None for the end of a transaction.
    execution: Any
    context: Context
    started_at: int
    started: int
    #: The number of sets of parameters; 0 for a single one.
    batch: int = 0
    span: trace_api.Span | None = None


class EngineTelemetry:
    """Observes one engine.

    The engine refers to it by its dialect. It must not refer to the engine, which would keep it alive.
    """

    def __init__(self, shared: Shared, engine: Engine) -> None:
        self._shared = shared
        self._engine = weakref.ref(engine)
        #: Whether the app has asked its pool for a connection.
        self.is_used = False
        self._resets_by_commit = resets_by_commit(engine.pool)
        self._statements: Interned[KnownStatement] = Interned(self._read, size=1_000)
        #: Connections (by id) with a transaction that has written or failed.
        self._written: set[int] = set()
        dialect: Any = engine.dialect
        for name in _SENDING:
            setattr(dialect, name, self._sending(getattr(dialect, name), name))
        dialect.do_commit = self._ending(dialect.do_commit, "COMMIT")
        dialect.do_rollback = self._ending(dialect.do_rollback, "ROLLBACK")
        # What SQLAlchemy asks at the first connection.
        dialect.initialize = _silent(dialect.initialize)
        event.listen(engine, "handle_error", _note_failure)
        shared.pools.observe(engine.pool, self)

    @functools.cached_property
    def _server(self) -> dict[str, Any]:
        # At the first statement, because only then the dialect knows whether its MySQL is a MariaDB.
        engine = self._engine()
        return server_attributes(engine) if engine is not None else {"db.system.name": "other_sql"}

    @functools.cached_property
    def _rules(self) -> Rules:
        engine = self._engine()
        return rules_of(engine.dialect) if engine is not None else Rules.STANDARD

    @functools.cached_property
    def _flat_server(self) -> Flat:
        return (self._rules.value, *flat_attributes(self._server))

    @functools.cached_property
    def pool_name(self) -> str:
        """The name of the pool in metrics."""
        engine = self._engine()
        given = engine.pool.logging_name if engine is not None else None
        parts = (self._server["db.system.name"], self._server.get("db.namespace", ""))
        return given or ":".join(str(part) for part in parts if part)

    def detach(self, engine: Engine) -> None:
        """Leave the engine that it was made for."""
        for name in (*_SENDING, "do_commit", "do_rollback", "initialize"):
            engine.dialect.__dict__.pop(name, None)
        if event.contains(engine, "handle_error", _note_failure):
            event.remove(engine, "handle_error", _note_failure)
        self._shared.pools.leave(engine.pool)

    def _read(self, statement: str) -> KnownStatement:
        return KnownStatement(statement, self._rules, self._server, self._shared.duration)

    def _sending(self, original: Callable[..., None], name: str) -> Callable[..., None]:
        """Wrap a function of the dialect that sends a statement, with the arguments of SQLAlchemy's `Dialect`."""
        if name == "do_execute_no_params":
            with_parameters = self._sending(lambda cursor, sent, _, context: original(cursor, sent, context), "")
            return lambda cursor, statement, context=None: with_parameters(cursor, statement, (), context)
        is_batch = name == "do_executemany"

        @functools.wraps(original)
        def send(cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
            run = self._begin(statement, parameters, context, is_batch)
            if run is None:
                return original(cursor, statement, parameters, context)
            try:
                original(cursor, run.sent, parameters, context)
            except BaseException as error:
                self._failed(run, error, is_statement=True)
                raise
            self._done(run, cursor)
            return None

        return send

    @guard.guarded("starting a database span")
    def _begin(
        self, statement: str, parameters: Any = (), execution: Any = None, is_batch: bool = False
    ) -> _Run | None:
        context = current_context()
        if context.get(SUPPRESS_INSTRUMENTATION_KEY):
            return None
        shared = self._shared
        read = statement if len(statement) < MAX_READ else statement[:MAX_READ]
        known = self._statements(read)
        batch = len(parameters) if is_batch and len(parameters) > 1 else 0
        started_at, started = clock.time_ns(), clock.perf_counter_ns()
        run = _Run(known, read, statement, parameters, execution, context, started_at, started, batch)
        views = shared.views
        if shared.commenter is not None or views is None or not views.takes(shared.starter, shared.duration):
            run.span = self._span(run)
            if shared.commenter is not None:
                driver = execution.dialect.driver if execution is not None else ""
                run.sent = shared.commenter.commented(statement, driver, run.span, context)
        return run

    def _span(self, run: _Run) -> trace_api.Span:
        layers: tuple[dict[str, Any], ...] = (run.known.layer,)
        if run.batch:
            layers = (run.known.layer, {"db.operation.batch.size": run.batch})
        return self._shared.starter.start(run.known.name, SpanKind.CLIENT, layers, run.started_at, run.context)

    @guard.guarded("ending a database span")
    def _done(self, run: _Run, cursor: Any) -> None:
        elapsed = clock.perf_counter_ns() - run.started
        if run.known.writes:
            self._mark_written(run)
        rows = getattr(cursor, "rowcount", -1)
        # DB-API: -1 where the driver does not know, as for SELECT on SQLite.
        rows = rows if isinstance(rows, int) and rows >= 0 else -1
        self._count(run, elapsed, "db.response.returned_rows", rows if rows >= 0 else None)
        self._ended(run, elapsed, rows)

    def _count(self, run: _Run, elapsed: int, name: str, outcome: int | str | None) -> None:
        """Count a statement of the request, and record it if it was slow, with the attribute of its outcome."""
        shared = self._shared
        shared.queries.ran(run.known.text, elapsed, run.execution)
        if elapsed >= shared.slow.after_ns:
            run.span = run.span or self._span(run)
            found = Execution(self._engine(), run.sent, run.parameters, bool(run.batch))
            attributes = {name: outcome} if outcome is not None else {}
            shared.slow.ended(run.known.layer, elapsed, attributes, run.span, run.context, found)

    def _mark_written(self, run: _Run) -> None:
        """Remember that a connection has something to commit or to roll back."""
        if run.execution is not None:
            self._written.add(id(run.execution.root_connection.connection))

    def _ended(self, run: _Run, elapsed: int, rows: int = -1) -> None:
        span, shared = run.span, self._shared
        if span is None and shared.views is not None:
            parent = run.context.get(SPAN_KEY)
            if type(parent) is Span and parent.ended_at is None:
                trace_id, span_id, flags, state = ids_and_state_of(parent)
                if flags & 1 and (state is NO_STATE or not state):
                    shared.views.hand_over(
                        self._flat_server, run.statement, trace_id, span_id, run.started_at, elapsed, rows, run.batch
                    )
                    return
        span = span or self._span(run)
        if rows >= 0 and span.is_recording():
            span.set_attribute("db.response.returned_rows", rows)
        # In the context around the statement, so that the exemplar refers to the request's span or the app's own.
        run.known.duration.record(elapsed / 1e9, run.context, bool(span.get_span_context().trace_flags & 1))
        span.end(run.started_at + elapsed)

    @guard.guarded("ending a failed database span")
    def _failed(self, run: _Run, error: BaseException, is_statement: bool = False) -> None:
        elapsed = clock.perf_counter_ns() - run.started
        self._mark_written(run)
        kind = exception_type(error)
        if is_statement:
            self._count(run, elapsed, "error.type", kind)
        span = run.span or self._span(run)
        code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if code is None:
            code = getattr(error, "sqlite_errorname", None)
        if span.is_recording():
            span.set_attribute("error.type", kind)
            if code:
                span.set_attribute("db.response.status_code", str(code))
            span.set_status(Status(StatusCode.ERROR, guard.safe_text(error)[:1_024]))
            span.set_attributes(location_attributes(caller_location()))
        attributes = {**run.known.duration.attributes, "error.type": kind}
        self._shared.duration.record(elapsed / 1e9, attributes, run.context)
        span.end(run.started_at + elapsed)

    def _ending(self, original: Callable[[Any], None], operation: str) -> Callable[[Any], None]:
        """Wrap the dialect's do_commit or do_rollback in a span, where something is ended."""
        written = self._written
        # A connection that only read is rolled back each time it returns to its pool. Such a rollback gets no span.
        needs_a_write = operation == "ROLLBACK" or self._resets_by_commit

        @functools.wraps(original)
        def end(connection: Any) -> None:
            if needs_a_write and id(connection) not in written:
                return original(connection)
            written.discard(id(connection))
            run = self._begin(operation)
            if run is None:
                return original(connection)
            try:
                original(connection)
            except BaseException as error:
                self._failed(run, error)
                raise
            self._end_ended(run)
            return None

        return end

    @guard.guarded("ending a transaction's span")
    def _end_ended(self, run: _Run) -> None:
        self._ended(run, clock.perf_counter_ns() - run.started)


@guard.guarded("recording a failed statement")
def _note_failure(context: Any) -> None:
    note_failure(context.sqlalchemy_exception or context.original_exception)


def _silent(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap a function whose statements are nobody's."""

    @functools.wraps(original)
    def silent(*args: Any, **kwargs: Any) -> None:
        token = attach(without_instrumentation())
        try:
            original(*args, **kwargs)
        finally:
            detach(token)

    return silent
