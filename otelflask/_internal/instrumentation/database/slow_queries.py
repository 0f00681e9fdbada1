"""Record slow statements."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry.context import Context

from otelflask._internal import attribute_names, clock, event_names
from otelflask._internal.compat.otel_api import SeverityNumber
from otelflask._internal.current_request import current_record
from otelflask._internal.instrumentation.database.plan import Execution, PlanReader
from otelflask._internal.instrumentation.database.query_statistics import caller_location, location_attributes
from otelflask._internal.sdk.log_records import Record, emit
from otelflask._internal.version import __version__

#: The characters of a statement that the line shows.
MAX_SHOWN = 200


class SlowQueries:
    """Records statements that take long.

    Args:
        logger_provider: Where they are recorded.
        slow_after: Seconds from which a statement is slow.
        plans: Reads their plans; None for no plans.
    """

    def __init__(self, logger_provider: Any, slow_after: float, plans: PlanReader | None = None) -> None:
        self._logger = logger_provider.get_logger("otelflask.database", __version__)
        self.after_ns = int(slow_after * 1e9)
        self.plans = plans

    def ended(
        self,
        layer: dict[str, Any],
        elapsed: int,
        outcome: dict[str, Any],
        span: trace_api.Span,
        context: Context,
        execution: Execution,
    ) -> None:
        """Record a statement that took long.

        Args:
            layer: Its attributes.
            elapsed: Nanoseconds.
            outcome: Attributes of its end: the number of rows, where the driver knows it, or the error's type.
            span: Its span.
            context: The context around it.
            execution: What was sent to the driver.
        """
        own: dict[str, Any] = {attribute_names.QUERY_DURATION: elapsed / 1e9, **outcome}
        record = current_record()
        route = record.route if record is not None else None
        if route is not None:
            own["http.route"] = route
        location = location_attributes(caller_location())
        if span.is_recording():
            span.set_attributes(location)
        own.update(location)
        span_context, ended_at = span.get_span_context(), clock.time_ns()

        def say(plan: str | None = None, missing: str | None = None) -> None:
            planned = {attribute_names.QUERY_PLAN: plan, attribute_names.QUERY_PLAN_MISSING: missing}
            own.update({name: value for name, value in planned.items() if value})
            text = f"slow query: {elapsed / 1e9:.2f} s: {str(layer.get('db.query.text', ''))[:MAX_SHOWN]}"
            severity = (SeverityNumber.WARN, "WARN")
            layers = (layer, own)
            emit(self._logger, Record(ended_at, *severity, text, layers, span_context, context, event_names.SLOW_QUERY))

        if self.plans is None:
            say()
        else:
            self.plans.read_later(execution, say)
