"""Business events in the app's own words, joined to the current trace."""

from __future__ import annotations

from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api

from otelflask._internal import clock, event_names, guard
from otelflask._internal.app_or_process import AppOrProcess
from otelflask._internal.compat.otel_api import SeverityNumber
from otelflask._internal.current_request import current_user_id
from otelflask._internal.instrumentation.logs.lines import attribute_value
from otelflask._internal.limits import Limits
from otelflask._internal.locks import new_lock
from otelflask._internal.sdk.log_records import Record, emit
from otelflask._internal.version import __version__

#: The most names with a counter of their own, for the case of an id in a name.
MAX_NAMES = 200
OTHER = "_OTHER"


class Events:
    """Emits events, and counts them by name.

    Args:
        logger_provider: Where events are emitted.
        meter_provider: Where they are counted.
        limits: What a record may carry.
    """

    def __init__(self, logger_provider: Any, meter_provider: Any, limits: Limits) -> None:
        self._limits = limits
        self._logger = logger_provider.get_logger("otelflask.events", __version__)
        self._counter = meter_provider.get_meter("otelflask.events", __version__).create_counter(
            "otelflask.events", unit="{event}", description="Business events, by name."
        )
        self._names: set[str] = set()
        self._lock = new_lock()

    @guard.guarded("emitting an event")
    def emit(self, name: str, attributes: dict[str, Any]) -> None:
        """Emit one event."""
        if not isinstance(name, str) or not name or event_names.is_reserved(name):
            guard.log(f"event:{name!r}", event_names.NOT_ALLOWED, name)
            return
        values = {key: attribute_value(value, self._limits) for key, value in attributes.items()}
        user_id = current_user_id()
        if user_id is not None:
            values.setdefault("user.id", user_id)
        context = context_api.get_current()
        span = trace_api.get_current_span(context).get_span_context()
        emit(self._logger, Record(clock.time_ns(), SeverityNumber.INFO, "INFO", name, (values,), span, context, name))
        self._counter.add(1, {"event.name": self._counted(name)})

    def _counted(self, name: str) -> str:
        if name not in self._names:
            with self._lock:
                if len(self._names) >= MAX_NAMES:
                    return OTHER
                self._names.add(name)
        return name


#: The current app's, else the process's; None before `init`.
in_use: AppOrProcess[Events] = AppOrProcess("otelflask.events")


def event(name: str, /, **attributes: Any) -> None:
    """Record a business event: ``otelflask.event("order.placed", order_id=7, amount=12.5)``.

    The event is a log record with an event name, on the current trace, with the request's user. The metric
    ``otelflask.events`` counts it. The function never raises, and does nothing before `init`.
    Source: OpenTelemetry Logs Data Model, "Events".

    Args:
        name: The event's name, in the form ``<thing>.<what happened>``. Use few names.
        **attributes: The event's attributes. Text, numbers, booleans, bytes, and lists and dicts of
            them keep their types. Other values become text.
    """
    events = in_use.current()
    if events is not None:
        events.emit(name, attributes)
