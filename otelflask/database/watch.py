"""Says which statements are slow, and which one request runs again and again; adds a request's totals to it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context

from otelflask import clock, event_names, guard
from otelflask.database.plan import Execution, PlanReader
from otelflask.database.tally import Place, QueryTally, calling_place, place_attributes
from otelflask.http.attributes import route_of
from otelflask.http.record import RequestRecord, current_record
from otelflask.pipeline.records import Record, emit
from otelflask.version import __version__

#: The path of the relationship that the ORM is loading (SQLAlchemy's), for the statement that comes next.
loading: ContextVar[Any] = ContextVar("otelflask_loading", default=None)


@guard.guarded("noting a relationship")
def note_relationship(state: Any) -> None:
    """SQLAlchemy's ``do_orm_execute``: remember which relationship the next statement loads."""
    loading.set(state.loader_strategy_path if state.is_relationship_load else None)


class QueryWatch:
    """Watches statements.

    In: the logger provider; seconds from which a statement is slow; runs of
    one statement from one line in one request, and their seconds together,
    from which it is repeated; what reads the plans of slow statements, or None.
    """

    def __init__(
        self,
        logger_provider: Any,
        slow_after: float,
        repeated: int,
        repeated_time: float,
        plans: PlanReader | None = None,
    ) -> None:
        self._logger = logger_provider.get_logger("otelflask.database", __version__)
        self.slow_after_ns = int(slow_after * 1e9)
        self.plans = plans
        self._repeated = repeated
        self._repeated_ns = int(repeated_time * 1e9)

    def ended(self, statement: str, elapsed: int) -> None:
        """A statement ended. In: its text without literals, and ns."""
        record = current_record()
        if record is None or record.closed:
            return
        tally = record.queries
        if tally is None:
            tally = record.queries = QueryTally()
            record.at_close.append(self._request_closed)
        tally.add(statement, elapsed, loading.get())

    def slow(
        self,
        layer: dict[str, Any],
        elapsed: int,
        rows: int | None,
        span: trace_api.Span,
        context: Context,
        execution: Execution,
    ) -> None:
        """A statement took long.

        In: its attributes, ns, rows where the driver knows, its span, the context around, and what was sent.
        """
        own: dict[str, Any] = {"otelflask.db.query.duration": elapsed / 1e9}
        if rows is not None:
            own["db.response.returned_rows"] = rows
        record = current_record()
        route = route_of(record.environ) if record is not None else None
        if route is not None:
            own["http.route"] = route
        place = place_attributes(calling_place())
        if span.is_recording():
            span.set_attributes(place)
        own.update(place)
        said_at, ended_at = span.get_span_context(), clock.time_ns()

        def say(plan: str | None = None, missing: str | None = None) -> None:
            planned = {"otelflask.db.query.plan": plan, "otelflask.db.query.plan_missing": missing}
            own.update({name: value for name, value in planned.items() if value})
            text = f"slow query: {_named(layer)} took {elapsed / 1e9:.2f} s"
            self._emit(event_names.SLOW_QUERY, text, (layer, own), said_at, context, ended_at)

        if self.plans is None:
            say()
        else:
            self.plans.read_later(execution, say)

    def _request_closed(self, record: RequestRecord) -> dict[str, Any]:
        """Say what was repeated. Out: the request's totals."""
        tally: QueryTally = record.queries
        for statement, runs, elapsed, place, relationship in tally.repeated(self._repeated, self._repeated_ns):
            self._said_again(record, statement, runs, elapsed, place, relationship)
        return {"otelflask.db.query.count": tally.count, "otelflask.db.query.duration": tally.elapsed / 1e9}

    def _said_again(
        self, record: RequestRecord, statement: str, runs: int, elapsed: int, place: Place | None, relationship: Any
    ) -> None:
        own: dict[str, Any] = {
            "db.query.text": statement,
            "otelflask.db.query.count": runs,
            "otelflask.db.query.duration": elapsed / 1e9,
            **place_attributes(place),
        }
        if record.route is not None:
            own["http.route"] = record.route
        text = f"repeated query: {runs} times in one request, {elapsed / 1e9:.2f} s: {statement[:200]}"
        if relationship is not None:
            own["otelflask.db.relationship"] = _path(relationship)
            text = f"repeated query: {own['otelflask.db.relationship']} loaded {runs} times in one request, one by one"
        self._emit(
            event_names.REPEATED_QUERY, text, (own,), record.span.get_span_context(), record.context, clock.time_ns()
        )

    def _emit(self, name: str, text: str, layers: Any, span: trace_api.SpanContext, context: Context, at: int) -> None:
        emit(self._logger, Record(at, SeverityNumber.WARN, "WARN", text, layers, span, context, name))


def _named(layer: dict[str, Any]) -> str:
    return str(layer.get("db.query.summary") or layer.get("db.query.text", ""))[:200]


def _path(relationship: Any) -> str:
    """``Product.reviews`` of SQLAlchemy's path of mappers and attributes."""
    for part in reversed(list(relationship)):
        key, parent = getattr(part, "key", None), getattr(part, "parent", None)
        if key is not None and parent is not None:
            return f"{parent.class_.__name__}.{key}"
    return str(relationship)
