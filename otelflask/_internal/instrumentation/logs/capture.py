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
from typing import Any, Literal, Protocol

from otelflask._internal import guard
from otelflask._internal.attribute_layers import Interned
from otelflask._internal.compat.otel_api import SUPPRESS_INSTRUMENTATION_KEY, current_context
from otelflask._internal.export.processors import LoggerOutput
from otelflask._internal.instrumentation.logs.lines import flat_line, record_of
from otelflask._internal.limits import Limits
from otelflask._internal.logging_records import Raised, belongs_to
from otelflask._internal.sdk.log_records import emit

#: Packages of telemetry.
_PACKAGES = frozenset({"otelflask", "opentelemetry"})

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
        self._loggers: Interned[LoggerOutput | Literal[False]] = Interned(self._logger_of, size=500)

    def _logger_of(self, name: str) -> LoggerOutput | Literal[False]:
        """The logger for a name; False for telemetry's own: each export would cause more of their records."""
        return False if belongs_to(name, _PACKAGES) else LoggerOutput(self.logger_provider.get_logger(name))

    def observe(self, record: logging.LogRecord, raised: Raised) -> None:
        """Emit one record with its exception."""
        # Suppressed instrumentation: export threads, endpoints and excluded requests.
        if record.levelno < self.level or current_context().get(SUPPRESS_INSTRUMENTATION_KEY):
            return
        handling = _handling
        if getattr(handling, "active", False):
            # Something logs from within our handling of a record, such as in an object's __str__.
            return
        handling.active = True
        try:
            # A hand-made record may have no name.
            known = self._loggers(record.name or "")
            if known is not False:
                self._emit(known, record, raised)
        finally:
            handling.active = False

    def _emit(self, known: LoggerOutput, record: logging.LogRecord, raised: Raised) -> None:
        is_heard, output = known.find()
        if output is not None:
            item = flat_line(record, self._limits, raised, known.limit, output.layer_bytes)
            if item:
                output.hand_over(known.scope, item, True)
                return
        if is_heard:
            emit(known.logger, record_of(record, self._limits, raised))


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
