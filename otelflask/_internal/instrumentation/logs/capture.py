"""Every ``logging`` record with its trace, its place in the code and its extras.

No handler is put on the root logger: one there makes Flask and Werkzeug
believe that logging is configured, so that their console output stays away,
and makes ``logging.basicConfig`` do nothing. Records are taken where
``logging`` hands them to the handlers, as sentry-sdk does, and handlers,
levels, propagation and configuration work as without us.
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
from otelflask._internal.exceptions.attributes import attributes_of
from otelflask._internal.limits import MAX_ITEMS, Limits, cut_stacktrace
from otelflask._internal.logging_records import Raised, message_of
from otelflask._internal.sdk.log_records import Record, emit

_RESERVED = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}
_SEVERITY_TEXT = {"WARNING": "WARN", "CRITICAL": "FATAL"}
#: How deep containers in ``extra=`` are followed.
_MAX_DEPTH = 4


def _code_layer(path: str, function: str, line: int) -> Layer:
    return Layer({"code.file.path": path, "code.function.name": function, "code.line.number": line})


_code_layers: Interned[Layer] = Interned(_code_layer)


#: Whether this thread is at work on a record, for whichever capture.
_busy = threading.local()


class Capture:
    """Turns ``logging`` records into OpenTelemetry log records; never raises into the app.

    In: the logger provider, the lowest level that is sent, and what a record may carry.
    """

    def __init__(self, logger_provider: Any, level: int, limits: Limits) -> None:
        self.logger_provider = logger_provider
        self.level = level
        self._limits = limits
        self._loggers: Interned[Any] = Interned(logger_provider.get_logger, size=500)

    def take(self, record: logging.LogRecord, raised: Raised) -> None:
        """Send one record. In: also its exception."""
        # One that is made by hand may have no name.
        name = record.name or ""
        if record.levelno < self.level or _about_telemetry(name):
            return
        busy = _busy
        if getattr(busy, "now", False):
            # Logging from inside our own work on a record, such as an app object's __str__: once is enough.
            return
        busy.now = True
        try:
            emit(self._loggers(name), record_of(record, self._limits, raised))
        finally:
            busy.now = False


def record_of(record: logging.LogRecord, limits: Limits, raised: Raised) -> Record:
    """A record of `logging` as one of OpenTelemetry's, with the current trace, its place in the code and its extras.

    In: also what a record may carry, and its exception.
    """
    attributes: dict[str, Any] = {}
    event_name = None
    dropped = 0
    state = record.__dict__
    if len(state) > len(_RESERVED) - 3:
        for name, value in state.items():
            if name in _RESERVED:
                continue
            if name == "otel.event.name" or name == "event.name":
                event_name = guard.safe_text(value)
                if event_names.is_reserved(event_name):
                    # It would be taken for one of ours: the line stays, with the name as an attribute.
                    guard.say(f"event:{event_name}", event_names.NOT_ALLOWED, event_name)
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
    if attributes:
        if any(name in part for name in attributes for part in layers):
            # Keys must be unique, and the app's value counts.
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


def _about_telemetry(name: str) -> bool:
    """Whether a logger speaks of sending telemetry: sent itself, it would feed on itself."""
    if name.startswith(("otelflask", "opentelemetry")):
        # The demo shop and the test kit are apps like any other.
        return not name.startswith("otelflask.demo")
    # HTTP and gRPC clients are the app's as well: only what the export threads say is about telemetry.
    return bool(context_api.get_value(SUPPRESS_INSTRUMENTATION_KEY))


def attribute_value(value: Any, limits: Limits, depth: int = 0) -> Any:
    """A value that OTLP can carry, keeping its type where OTLP has it; anything else as text."""
    kind = type(value)
    if kind in (str, int, bool, float, bytes) or value is None:
        return value
    return guard.attempt(_converted, value, limits, depth, instead=lambda error: guard.safe_text(value))


def _converted(value: Any, limits: Limits, depth: int) -> Any:
    if depth < _MAX_DEPTH:
        if isinstance(value, dict):
            items = list(value.items())[:MAX_ITEMS]
            return {guard.safe_text(key): attribute_value(item, limits, depth + 1) for key, item in items}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [attribute_value(item, limits, depth + 1) for item in list(value)[:MAX_ITEMS]]
    if isinstance(value, (str, int, float)):
        # Subclasses (enums, numpy numbers): the plain value.
        return str.__str__(value) if isinstance(value, str) else value.real
    if isinstance(value, (date, time)):
        return value.isoformat()
    return limits.text(guard.safe_text(value))


class Taker(Protocol):
    """Anything that wants every record, for whichever logger provider."""

    logger_provider: Any

    def take(self, record: logging.LogRecord, raised: Raised) -> None:
        """One record, after the handlers, and its exception. It may raise what an object of the app's does."""
        ...


_captures: list[Taker] = []
_patched = False


def install(logger_provider: Any, level: str, limits: Limits) -> Capture:
    """Take every record from now on.

    In: the logger provider, the name of the lowest level that is sent, and what a record may carry.
    Out: the capture; installing for the same provider again changes nothing.
    """
    for known in _captures:
        if isinstance(known, Capture) and known.logger_provider is logger_provider:
            return known
    capture = Capture(logger_provider, 0 if level == "notset" else getattr(logging, level.upper()), limits)
    add(capture)
    return capture


def add(taker: Taker) -> None:
    """Hand every record to this one too, from now on."""
    global _patched
    # Not read off the method: others, sentry-sdk among them, put theirs around ours.
    if not _patched:
        _patch()
        _patched = True
    _captures.append(taker)


def uninstall(capture: Taker) -> None:
    """Hand no more records to this one."""
    if capture in _captures:
        _captures.remove(capture)


def uninstall_all(logger_provider: Any) -> None:
    """Hand no more records to whoever takes them for this provider."""
    _captures[:] = [taker for taker in _captures if taker.logger_provider is not logger_provider]


def _patch() -> None:
    original = logging.Logger.callHandlers

    @functools.wraps(original)
    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        try:
            original(self, record)
        finally:
            if _captures:
                raised = Raised(record)
                for taker in _captures:
                    guard.call_hook("record of `logging`", taker.take, record, raised)

    logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign]
