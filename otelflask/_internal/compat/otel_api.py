"""OpenTelemetry's API: a context key, the global providers, the parts of a propagator.

Sources: ``opentelemetry.context``, ``opentelemetry.trace``, ``opentelemetry.metrics._internal``,
``opentelemetry._logs``, ``opentelemetry.propagators.composite``, ``opentelemetry.util._decorator``.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

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
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY as SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.semconv._incubating.metrics import otel_metrics
from opentelemetry.util._decorator import _agnosticcontextmanager as context_manager

__all__ = [
    "SUPPRESS_INSTRUMENTATION_KEY",
    "LogRecord",
    "LoggerProvider",
    "NoOpLogger",
    "SeverityNumber",
    "clean_attribute_value",
    "context_manager",
    "get_logger_provider",
    "otel_metrics",
    "parts_of_propagator",
    "providers_that_are_set",
    "set_logger_provider",
]

#: The propagators of a composite one, in order.
parts_of_propagator = attrgetter("_propagators")


def providers_that_are_set() -> tuple[Any, Any, Any]:
    """The global tracer, meter and logger provider; None for each that is not set.

    The public getters would create a missing one.
    """
    return trace_api._TRACER_PROVIDER, metrics_internal._METER_PROVIDER, logs_internal._LOGGER_PROVIDER
