"""Telemetry of one SQLAlchemy engine: a span and a duration per statement, and its pool.

It uses SQLAlchemy's public events, and wraps what has none: `do_commit` and `do_rollback` of the
engine's dialect, and `connect` of its pool. So 2.0 and 2.1, sync and async engines, all kinds of
pools and engines from before or after ``init`` work alike. Names: semantic conventions for
databases. Spans and the duration of operations are stable, metrics of connections in development.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import SpanKind
from opentelemetry.trace.status import Status, StatusCode
from sqlalchemy import __version__ as sqlalchemy_version
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from otelflask._internal import clock, guard
from otelflask._internal.attribute_layers import Interned, Layer
from otelflask._internal.compat.otel_api import SUPPRESS_INSTRUMENTATION_KEY
from otelflask._internal.compat.otel_instrumentation import add_sql_comment, traceparent_values
from otelflask._internal.compat.sqlalchemy import engine_below
from otelflask._internal.exceptions.attributes import exception_type
from otelflask._internal.instrumentation.database.plan import Execution
from otelflask._internal.instrumentation.database.pools import PoolMetrics
from otelflask._internal.instrumentation.database.query_statistics import caller_location, location_attributes
from otelflask._internal.instrumentation.database.request_queries import RequestQueries, note_failure
from otelflask._internal.instrumentation.database.server import server_attributes
from otelflask._internal.instrumentation.database.slow_queries import SlowQueries
from otelflask._internal.instrumentation.database.sql import Statement, read
from otelflask._internal.lifecycle.component import Component
from otelflask._internal.locks import new_lock
from otelflask._internal.sdk import durations
from otelflask._internal.sdk.bound_histogram import BoundHistogram
from otelflask._internal.sdk.spans import SpanStarter
from otelflask._internal.version import __version__

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
#: Operations that write nothing. A ROLLBACK after only these gets no span.
_NON_WRITING_OPERATIONS = frozenset({"SELECT", "PRAGMA", "SHOW", "EXPLAIN", "BEGIN", "DESCRIBE", "VALUES", "SET"})


class DatabaseTelemetry(Component):
    """What all engines share: span starter, instruments, options.

    Args:
        starter: Starts spans.
        meter_provider: Where durations and connections are measured.
        slow: Records slow statements.
        queries: Counts the statements of a request, and finds repeated ones.
        enable_commenter: Whether statements get a comment with their origin (sqlcommenter).
        commenter_options: Which parts the comment has.
        enable_attribute_commenter: Whether ``db.query.text`` has the comment too.
    """

    def __init__(
        self,
        starter: SpanStarter,
        meter_provider: MeterProvider,
        slow: SlowQueries,
        queries: RequestQueries,
        enable_commenter: bool = False,
        commenter_options: dict[str, Any] | None = None,
        enable_attribute_commenter: bool = False,
    ) -> None:
        meter = meter_provider.get_meter("otelflask.database", __version__, SCHEMA_URL)
        self.starter = starter
        self.slow = slow
        self.queries = queries
        self.enable_commenter = enable_commenter
        self.commenter_options = commenter_options or {}
        self.enable_attribute_commenter = enable_attribute_commenter
        self.duration = meter.create_histogram(
            "db.client.operation.duration",
            unit="s",
            description="Duration of database client operations.",
            explicit_bucket_boundaries_advisory=durations.DATABASE,
        )
        self.pools = PoolMetrics(meter, self._named_pools)
        # Weak, so that an engine that the app drops is freed, with its connections.
        self._engines: WeakKeyDictionary[Engine, EngineTelemetry] = WeakKeyDictionary()
        #: Engines that are not used yet.
        self._unused: WeakSet[Engine] = WeakSet()
        self._lock = new_lock()

    def after_fork(self) -> None:
        if self.slow.plans is not None:
            self.slow.plans.after_fork()

    def flush(self, deadline: float) -> bool:
        """Wait up to one second for plans that are being read, then emit the records without a plan.

        `deadline` is not used.
        """
        if self.slow.plans is not None:
            self.slow.plans.flush()
        return True

    def instrument_engine(self, engine: Engine) -> None:
        """Instrument an engine. A second call changes nothing."""
        engine = engine_below(engine)
        with self._lock:
            self._unused.discard(engine)
            if engine not in self._engines:
                self._engines[engine] = EngineTelemetry(self, engine)

    def note(self, engine: Engine) -> None:
        """Know an engine that was made. It is instrumented when it is first used."""
        with self._lock:
            self._unused.add(engine)

    def engines(self) -> list[Engine]:
        """All engines that the app has, used or not."""
        with self._lock:
            return [*self._engines, *self._unused]

    def detach_all(self) -> None:
        """Detach from all engines."""
        with self._lock:
            for engine, telemetry in self._engines.items():
                telemetry.detach(engine)
            self._engines.clear()

    def _named_pools(self) -> list[tuple[str, Pool]]:
        with self._lock:
            return [(telemetry.pool_name, engine.pool) for engine, telemetry in self._engines.items()]


class _StatementTelemetry:
    """What is the same each time one statement runs."""

    __slots__ = ("duration", "layer", "name", "statement")

    def __init__(self, statement: Statement, server: dict[str, Any], telemetry: DatabaseTelemetry) -> None:
        self.statement = statement
        labels: dict[str, Any] = dict(server)
        if statement.operation:
            labels["db.operation.name"] = statement.operation
        if statement.collection:
            labels["db.collection.name"] = statement.collection
        self.duration = BoundHistogram(telemetry.duration, labels)
        self.layer = Layer({**labels, "db.query.summary": statement.summary, "db.query.text": statement.text})
        if not statement.summary:
            del self.layer["db.query.summary"]
        namespace = server.get("db.namespace")
        self.name = statement.summary or str(namespace or server["db.system.name"])


def _unchanged(
    telemetry: EngineTelemetry, conn: Any, cursor: Any, statement: str, parameters: Any, *others: Any
) -> tuple[str, Any]:
    """Return a statement as it came, in place of `EngineTelemetry._before`."""
    return statement, parameters


class EngineTelemetry:
    """Listens to one engine's events.

    The engine refers to it by its listeners. It must not refer to the engine, which would keep it alive.
    """

    def __init__(self, telemetry: DatabaseTelemetry, engine: Engine) -> None:
        self.telemetry = telemetry
        self._server = server_attributes(engine)
        self.pool_name = engine.pool.logging_name or ":".join(
            str(part) for part in (self._server["db.system.name"], self._server.get("db.namespace", "")) if part
        )
        self._statements: Interned[_StatementTelemetry] = Interned(self._read, size=1_000)
        self._listeners: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
            ("before_cursor_execute", self._before, {"retval": True}),
            ("after_cursor_execute", self._after, {}),
            ("handle_error", self._failed, {}),
            ("commit", self._commit, {}),
            ("rollback", self._rollback, {}),
            ("engine_disposed", self._renewed, {}),
        ]
        for name, listener, options in self._listeners:
            event.listen(engine, name, listener, **options)
        dialect: Any = engine.dialect
        dialect.do_commit = self._traced(dialect.do_commit)
        dialect.do_rollback = self._traced(dialect.do_rollback)
        self.telemetry.pools.count_timeouts(engine.pool, self.pool_name)

    def detach(self, engine: Engine) -> None:
        """Stop listening to the engine that it was made for."""
        for name, listener, _ in self._listeners:
            if event.contains(engine, name, listener):
                event.remove(engine, name, listener)
        for name in ("do_commit", "do_rollback"):
            engine.dialect.__dict__.pop(name, None)
        self.telemetry.pools.leave(engine.pool)

    @guard.guarded("observing a new pool")
    def _renewed(self, engine: Engine) -> None:
        """`Engine.dispose` has replaced the pool."""
        self.telemetry.pools.count_timeouts(engine.pool, self.pool_name)

    def _read(self, statement: str) -> _StatementTelemetry:
        return _StatementTelemetry(read(statement), self._server, self.telemetry)

    @guard.guarded("starting a database span", fallback=_unchanged)
    def _before(
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> tuple[str, Any]:
        parent_context = context_api.get_current()
        if parent_context.get(SUPPRESS_INSTRUMENTATION_KEY):
            return statement, parameters
        known = self._statements(statement if len(statement) < 20_000 else statement[:20_000])
        layers: tuple[dict[str, Any], ...] = (known.layer,)
        if executemany and len(parameters) > 1:
            layers = (known.layer, {"db.operation.batch.size": len(parameters)})
        span = self.telemetry.starter.start(known.name, SpanKind.CLIENT, layers, clock.time_ns(), parent_context)
        if known.statement.operation not in _NON_WRITING_OPERATIONS:
            _dirty_connections.add(id(conn))
        if context is not None:
            context.otelflask = (span, known, clock.perf_counter_ns(), parent_context)
        if self.telemetry.enable_commenter:
            statement = self._commented(conn.engine.driver, statement, span, parent_context)
        return statement, parameters

    def _commented(self, driver: str, statement: str, span: trace_api.Span, parent_context: Any) -> str:
        token = context_api.attach(trace_api.set_span_in_context(span, parent_context))
        try:
            data = {"db_driver": driver, "db_framework": f"sqlalchemy:{sqlalchemy_version}"}
            options = self.telemetry.commenter_options
            if options.get("opentelemetry_values", True):
                data.update(**traceparent_values())
            data = {key: value for key, value in data.items() if options.get(key, True)}
            commented: str = add_sql_comment(statement, **data)
        finally:
            context_api.detach(token)
        if self.telemetry.enable_attribute_commenter:
            span.set_attribute("db.query.text", commented)
        return commented

    @guard.guarded("ending a database span")
    def _after(self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        state = context.__dict__.pop("otelflask", None) if context is not None else None
        if state is None:
            return
        span, known, started, parent_context = state
        elapsed = clock.perf_counter_ns() - started
        rows = getattr(cursor, "rowcount", -1)
        # DB-API: -1 where the driver does not know, as for SELECT on SQLite.
        known_rows = rows if isinstance(rows, int) and rows >= 0 else None
        if known_rows is not None and span.is_recording():
            span.set_attribute("db.response.returned_rows", known_rows)
        self.telemetry.queries.ran(known.statement.text, elapsed)
        slow = self.telemetry.slow
        if elapsed >= slow.after_ns:
            execution = Execution(conn.engine, statement, parameters, executemany)
            slow.ended(known.layer, elapsed, known_rows, span, parent_context, execution)
        self._ended(span, known, elapsed, parent_context)

    def _ended(self, span: trace_api.Span, known: _StatementTelemetry, elapsed: int, parent_context: Any) -> None:
        # In the context around the statement, so that the exemplar refers to the request's span or the app's own.
        known.duration.record(elapsed / 1e9, parent_context, bool(span.get_span_context().trace_flags & 1))
        span.end()

    @guard.guarded("ending a failed database span")
    def _failed(self, context: Any) -> None:
        error = context.original_exception
        note_failure(context.sqlalchemy_exception or error)
        execution = context.execution_context
        state = execution.__dict__.pop("otelflask", None) if execution is not None else None
        if state is None:
            return
        span, known, started, parent_context = state
        if context.connection is not None:
            _dirty_connections.add(id(context.connection))
        kind = exception_type(error)
        code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if code is None:
            code = getattr(error, "sqlite_errorname", None)
        elapsed = clock.perf_counter_ns() - started
        if span.is_recording():
            span.set_attribute("error.type", kind)
            if code:
                span.set_attribute("db.response.status_code", str(code))
            span.set_status(Status(StatusCode.ERROR, guard.safe_text(error)[:1_024]))
            span.set_attributes(location_attributes(caller_location()))
        self.telemetry.duration.record(elapsed / 1e9, {**known.duration.attributes, "error.type": kind}, parent_context)
        span.end()

    @guard.guarded("announcing a COMMIT")
    def _commit(self, conn: Any) -> None:
        self._announce("COMMIT")
        _dirty_connections.discard(id(conn))

    @guard.guarded("announcing a ROLLBACK")
    def _rollback(self, conn: Any) -> None:
        # A connection that only read is rolled back each time it returns to its pool. Such a rollback gets no span.
        if id(conn) in _dirty_connections:
            _dirty_connections.discard(id(conn))
            self._announce("ROLLBACK")

    def _announce(self, operation: str) -> None:
        parent_context = context_api.get_current()
        if not parent_context.get(SUPPRESS_INSTRUMENTATION_KEY):
            # The event comes just before the dialect's call, in the same context.
            _announced.set((operation, parent_context))

    def _traced(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        """Wrap the dialect's do_commit or do_rollback in a span, where the event before asked for one."""

        @functools.wraps(original)
        def traced(dbapi_connection: Any) -> None:
            pending = _announced.get()
            if pending is None:
                return original(dbapi_connection)
            _announced.set(None)
            began = self._transaction_ends(*pending)
            try:
                original(dbapi_connection)
            except BaseException as error:
                self._transaction_ended(began, error)
                raise
            self._transaction_ended(began, None)

        return traced

    @guard.guarded("starting a transaction's span")
    def _transaction_ends(
        self, operation: str, parent_context: Any
    ) -> tuple[trace_api.Span, _StatementTelemetry, int, Any]:
        known = self._statements(operation)
        span = self.telemetry.starter.start(
            known.name, SpanKind.CLIENT, (known.layer,), clock.time_ns(), parent_context
        )
        return span, known, clock.perf_counter_ns(), parent_context

    @guard.guarded("ending a transaction's span")
    def _transaction_ended(
        self, began: tuple[trace_api.Span, _StatementTelemetry, int, Any] | None, error: BaseException | None
    ) -> None:
        if began is None:
            return
        span, known, started, parent_context = began
        if error is not None:
            span.set_attribute("error.type", exception_type(error))
            span.set_status(Status(StatusCode.ERROR, guard.safe_text(error)[:1_024]))
        self._ended(span, known, clock.perf_counter_ns() - started, parent_context)


#: The end of a transaction that SQLAlchemy has announced and the dialect has not carried out yet.
_announced: ContextVar[tuple[str, Any] | None] = ContextVar("otelflask_transaction", default=None)
#: Connections (by id) with an open transaction that has written or failed.
_dirty_connections: set[int] = set()
