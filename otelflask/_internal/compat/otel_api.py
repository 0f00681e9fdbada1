"""OpenTelemetry's API: a context key, the global providers, the parts of a propagator.

Sources: ``opentelemetry.context``, ``opentelemetry.trace``, ``opentelemetry.metrics._internal``,
``opentelemetry._logs``, ``opentelemetry.propagators.composite``, ``opentelemetry.util._decorator``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from operator import attrgetter, itemgetter
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry._logs import (
    LoggerProvider,
    LogRecord,
    NoOpLogger,
    SeverityNumber,
    get_logger_provider,
    set_logger_provider,
)
from opentelemetry._logs import _internal as logs_internal
from opentelemetry.attributes import _clean_attribute_value as clean_attribute_value
from opentelemetry.context import _RUNTIME_CONTEXT, Context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY as SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.semconv._incubating.metrics import otel_metrics
from opentelemetry.trace import SpanContext, TraceState
from opentelemetry.trace.propagation import _SPAN_KEY as SPAN_KEY
from opentelemetry.util._decorator import _agnosticcontextmanager as context_manager

__all__ = [
    "NO_STATE",
    "SPAN_KEY",
    "SUPPRESS_INSTRUMENTATION_KEY",
    "LogRecord",
    "LoggerProvider",
    "NoOpLogger",
    "SeverityNumber",
    "attach",
    "clean_attribute_value",
    "context_manager",
    "current_context",
    "detach",
    "get_logger_provider",
    "ids_of",
    "otel_metrics",
    "parts_of_propagator",
    "providers_that_are_set",
    "set_logger_provider",
    "without_instrumentation",
]

_context_variable: ContextVar[Context] | None = getattr(_RUNTIME_CONTEXT, "_current_context", None)
#: Make a context the current one, and undo it in the same call of a function. Where OpenTelemetry keeps contexts in a
#: context variable, they are the variable's own: the calls in between, in each request, cost as much as its span.
attach: Callable[[Context], Any] = context_api.attach if _context_variable is None else _context_variable.set
detach: Callable[[Any], None] = context_api.detach if _context_variable is None else _context_variable.reset
current_context: Callable[[], Context] = context_api.get_current if _context_variable is None else _context_variable.get
#: The trace state of a context that has none.
NO_STATE: TraceState = SpanContext(1, 1, False).trace_state
#: Trace id, span id and flags of a span's context, which is a tuple. Each of its properties costs a call.
ids_of: Callable[[SpanContext], tuple[int, int, int]] = itemgetter(0, 1, 3)
#: The propagators of a composite one, in order.
parts_of_propagator = attrgetter("_propagators")


def without_instrumentation() -> Context:
    """The current context, within which nothing is recorded."""
    return context_api.set_value(SUPPRESS_INSTRUMENTATION_KEY, True)


def providers_that_are_set() -> tuple[Any, Any, Any]:
    """The global tracer, meter and logger provider; None for each that is not set.

    The public getters would create a missing one.
    """
    return trace_api._TRACER_PROVIDER, metrics_internal._METER_PROVIDER, logs_internal._LOGGER_PROVIDER
