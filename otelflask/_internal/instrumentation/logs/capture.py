"""Capture every ``logging`` record with its trace, source location and extras.

No handler is put on the root logger. One there would make Flask and Werkzeug believe that logging
is configured, so that they print nothing to the console, and ``logging.basicConfig`` would do
nothing. Records are observed where ``logging`` calls the handlers, as in sentry-sdk. Handlers,
levels, propagation and configuration work as before.
"""

from __future__ import annotations

import functools
import logging
import threading
from datetime import date, time
from typing import Any, Protocol

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.instrumentation.log_utils import std_to_otel

from otelflask._internal import event_names, guard
from otelflask._internal.attribute_layers import Interned, Layer, merged
from otelflask._internal.compat.otel_api import SUPPRESS_INSTRUMENTATION_KEY, SeverityNumber
from otelflask._internal.current_request import current_user_id
from otelflask._internal.exceptions.attributes import attributes_of
from otelflask._internal.limits import MAX_ITEMS, Limits, cut_stacktrace
from otelflask._internal.logging_records import Raised, belongs_to, message_of
from otelflask._internal.sdk.log_records import Record, emit

_FIELDS = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None)))
#: Attributes of a record that are not from ``extra=``. Handlers add the last three (``taskName`` until Python 3.11).
_RESERVED = _FIELDS | {"message", "asctime", "taskName"}
#: Packages of telemetry.
_PACKAGES = frozenset({"otelflask", "opentelemetry"})
_SEVERITY_TEXT = {"WARNING": "WARN", "CRITICAL": "FATAL"}
#: How deep containers in ``extra=`` are followed.
_MAX_DEPTH = 4


def _code_layer(path: str, function: str, line: int) -> Layer:
    return Layer({"code.file.path": path, "code.function.name": function, "code.line.number": line})


_code_layers: Interned[Layer] = Interned(_code_layer)


#: Whether this thread is handling a record, for any capture.
_handling = threading.local()


class Capture:
    """Turns ``logging`` records into OpenTelemetry log records. Never raises into the app.

    Args:
        logger_provider: Where records are emitted.
        level: The lowest level.
        limits: The limits of a record's attributes.
    """

    def __init__(self, logger_provider: Any, level: int, limits: Limits) -> None:
        self.logger_provider = logger_provider
        self.level = level
        self._limits = limits
        self._loggers: Interned[Any] = Interned(logger_provider.get_logger, size=500)

    def observe(self, record: logging.LogRecord, raised: Raised) -> None:
        """Emit one record with its exception."""
        # A hand-made record may have no name.
        name = record.name or ""
        if record.levelno < self.level or _is_suppressed(name):
            return
        handling = _handling
        if getattr(handling, "active", False):
            # The app logs from within our handling of a record, such as in an object's __str__.
            return
        handling.active = True
        try:
            emit(self._loggers(name), record_of(record, self._limits, raised))
        finally:
            handling.active = False


def record_of(record: logging.LogRecord, limits: Limits, raised: Raised) -> Record:
    """Convert a record of `logging`, with the current trace, the user, its source location and its extras.

    Args:
        record: The record.
        limits: The limits of its attributes.
        raised: Its exception, read on first use; empty if there is none.
    """
    attributes: dict[str, Any] = {}
    event_name = None
    dropped = 0
    state = record.__dict__
    if len(state) > len(_FIELDS):
        for name, value in state.items():
            if name in _RESERVED:
                continue
            if name == "otel.event.name" or name == "event.name":
                event_name = guard.safe_text(value)
                if event_names.is_reserved(event_name):
                    # It would look like one of ours. The line keeps the name as an attribute.
                    guard.log(f"event:{event_name}", event_names.NOT_ALLOWED, event_name)
                    attributes["event.name"], event_name = event_name, None
            elif len(attributes) < limits.attribute_count:
                attributes[name] = attribute_value(value, limits)
            else:
                dropped += 1
    layer = attributes_of(raised.walk) if raised.walk is not None else None
    if record.stack_info:
        attributes["code.stacktrace"] = cut_stacktrace(record.stack_info)
    code = _code_layers(record.pathname, record.funcName or "", record.lineno)
    layers: tuple[dict[str, Any], ...] = (code,) if layer is None else (code, layer)
    user_id = current_user_id()
    if user_id is not None:
        layers = (*layers, {"user.id": user_id})
    if attributes:
        if any(name in part for name in attributes for part in layers):
            # Keys must be unique, and the app's value wins.
            layers = (merged((*layers, attributes)),)
        else:
            layers = (*layers, attributes)
    context = context_api.get_current()
    severity = std_to_otel(record.levelno)
    made = Record(
        int(record.created * 1e9),
        severity if severity is not SeverityNumber.UNSPECIFIED else SeverityNumber.TRACE,
        _SEVERITY_TEXT.get(record.levelname, record.levelname),
        message_of(record),
        layers,
        trace_api.get_current_span(context).get_span_context(),
        context,
        event_name,
    )
    made.dropped = dropped
    return made


def _is_suppressed(name: str) -> bool:
    """Whether a record is not exported.

    If records of telemetry's own loggers were exported, each export would cause more of them.
    """
    if belongs_to(name, _PACKAGES):
        return True
    # Suppressed instrumentation: export threads, endpoints and excluded requests.
    return bool(context_api.get_value(SUPPRESS_INSTRUMENTATION_KEY))


def attribute_value(value: Any, limits: Limits, depth: int = 0) -> Any:
    """Convert a value for OTLP: types that OTLP supports stay, others become text."""
    kind = type(value)
    if kind in (str, int, bool, float, bytes) or value is None:
        return value
    return guard.attempt(_converted, value, limits, depth, on_error=lambda error: guard.safe_text(value))


def _converted(value: Any, limits: Limits, depth: int) -> Any:
    if depth < _MAX_DEPTH:
        if isinstance(value, dict):
            items = list(value.items())[:MAX_ITEMS]
            return {guard.safe_text(key): attribute_value(item, limits, depth + 1) for key, item in items}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [attribute_value(item, limits, depth + 1) for item in list(value)[:MAX_ITEMS]]
    if isinstance(value, (str, int, float)):
        # Subclasses (enums, numpy numbers) become plain values.
        return str.__str__(value) if isinstance(value, str) else value.real
    if isinstance(value, (date, time)):
        return value.isoformat()
    return limits.text(guard.safe_text(value))


class LogObserver(Protocol):
    """Observes every record of `logging`, for one logger provider."""

    logger_provider: Any

    def observe(self, record: logging.LogRecord, raised: Raised) -> None:
        """Receive one record and its exception, after the handlers. It may raise what an object of the app raises."""
        ...


_observers: list[LogObserver] = []
_patched = False


def install(logger_provider: Any, level: str, limits: Limits) -> Capture:
    """Capture every record from now on. A second call for the same provider changes nothing.

    Args:
        logger_provider: Where records are emitted.
        level: The name of the lowest level.
        limits: The limits of a record's attributes.

    Returns:
        The capture.
    """
    for known in _observers:
        if isinstance(known, Capture) and known.logger_provider is logger_provider:
            return known
    capture = Capture(logger_provider, 0 if level == "notset" else getattr(logging, level.upper()), limits)
    add(capture)
    return capture


def add(observer: LogObserver) -> None:
    """Give every record to one more observer."""
    global _patched
    # A flag, because others, such as sentry-sdk, wrap the method that we have wrapped.
    if not _patched:
        _patch()
        _patched = True
    _observers.append(observer)


def uninstall(capture: LogObserver) -> None:
    """Remove an observer."""
    if capture in _observers:
        _observers.remove(capture)


def uninstall_all(logger_provider: Any) -> None:
    """Remove all observers of a provider."""
    _observers[:] = [observer for observer in _observers if observer.logger_provider is not logger_provider]


def _patch() -> None:
    original = logging.Logger.callHandlers

    @functools.wraps(original)
    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        try:
            original(self, record)
        finally:
            if _observers:
                raised = Raised(record)
                for observer in _observers:
                    guard.call_hook("record of `logging`", observer.observe, record, raised)

    logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign]
