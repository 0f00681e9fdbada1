"""Telemetry of circuit breakers: their state, their calls by outcome, and each change of state."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.metrics import CallbackOptions, Observation

from otelflask._internal import attribute_names, clock, event_names, guard
from otelflask._internal.app_or_process import AppOrProcess
from otelflask._internal.breaker.redis_client import SharedRedis
from otelflask._internal.breaker.state import CLOSED, HALF_OPEN, OPEN
from otelflask._internal.compat.otel_api import SeverityNumber
from otelflask._internal.lifecycle.component import Component
from otelflask._internal.locks import new_lock
from otelflask._internal.sdk.log_records import Record, emit
from otelflask._internal.version import __version__

#: The most names with counts of their own. Further names share one.
MAX_NAMES = 200
OTHER = "_OTHER"


class Breaker(Protocol):
    """What the registry needs of a circuit breaker."""

    name: str

    @property
    def state(self) -> str: ...


class CallCounts:
    """Calls by outcome, of all breakers that have had a name. The sums never decrease."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the parent's counts."""
        self._counts: Counter[str] = Counter()

    def add(self, outcome: str) -> None:
        """Count one call."""
        with self._lock:
            self._counts[outcome] += 1

    def counts(self) -> dict[str, int]:
        """Calls by outcome."""
        with self._lock:
            return dict(self._counts)


#: All breakers, and their calls, by name.
_breakers: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
_calls: dict[str, CallCounts] = {}
_lock = new_lock()


def register(breaker: Breaker) -> CallCounts:
    """Register a new breaker, in place of an earlier one of its name.

    Returns:
        Where its calls are counted.
    """
    name = breaker.name
    with _lock:
        if name not in _calls and len(_calls) >= MAX_NAMES:
            return _calls.setdefault(OTHER, CallCounts())
        _breakers[name] = breaker
        return _calls.setdefault(name, CallCounts())


class Breakers(Component):
    """What the breakers of a process have in common.

    Args:
        logger_provider: Where changes of state are recorded.
        meter_provider: Where states and calls are measured.
        redis_url: The redis that keeps the states; empty for none.
        namespace: The prefix of the keys in redis.

    Raises:
        SettingError: The redis cannot be used.
    """

    def __init__(self, logger_provider: Any, meter_provider: Any, redis_url: str, namespace: str) -> None:
        self._logger = logger_provider.get_logger("otelflask.breaker", __version__)
        self.redis = SharedRedis(redis_url) if redis_url else None
        self.namespace = namespace
        meter = meter_provider.get_meter("otelflask.breaker", __version__)
        meter.create_observable_gauge(
            "otelflask.circuit_breaker.state",
            callbacks=[self._observe_states],
            unit="{breaker}",
            description="1 for the state that a circuit breaker is in, 0 for the others.",
        )
        meter.create_observable_counter(
            "otelflask.circuit_breaker.calls",
            callbacks=[self._observe_calls],
            unit="{call}",
            description="Calls through a circuit breaker, by outcome.",
        )

    def after_fork(self) -> None:
        for counts in _calls.values():
            counts.after_fork()

    def _observe_states(self, options: CallbackOptions) -> Iterable[Observation]:
        for name, breaker in list(_breakers.items()):
            now = breaker.state
            for state in (CLOSED, HALF_OPEN, OPEN):
                yield Observation(int(state == now), {**_named(name), attribute_names.BREAKER_STATE: state})

    def _observe_calls(self, options: CallbackOptions) -> Iterable[Observation]:
        with _lock:
            calls = list(_calls.items())
        for name, counts in calls:
            for outcome, count in counts.counts().items():
                yield Observation(count, {**_named(name), attribute_names.BREAKER_OUTCOME: outcome})

    @guard.guarded("recording a circuit breaker's change of state")
    def moved(self, breaker: Breaker, before: str, after: str, reason: str) -> None:
        """Record that a breaker of this process has changed its circuit's state."""
        attributes = {
            **_named(breaker.name),
            attribute_names.BREAKER_STATE: after,
            attribute_names.BREAKER_PREVIOUS_STATE: before,
        }
        context = context_api.get_current()
        span = trace_api.get_current_span(context)
        if span.is_recording():
            span.add_event(event_names.CIRCUIT_BREAKER, attributes)
        severity = (SeverityNumber.WARN, "WARN") if after == OPEN else (SeverityNumber.INFO, "INFO")
        text = f"circuit breaker {breaker.name}: {before} → {after}, {reason}"
        span_context = span.get_span_context()
        emit(
            self._logger,
            Record(clock.time_ns(), *severity, text, (attributes,), span_context, context, event_names.CIRCUIT_BREAKER),
        )


def states() -> list[dict[str, str]]:
    """The name and state of all breakers of this process."""
    return [{"name": name, "state": breaker.state} for name, breaker in sorted(_breakers.items())]


def _named(name: str) -> dict[str, str]:
    return {attribute_names.BREAKER_NAME: name}


#: The current app's, else the process's; None before `init`.
in_use: AppOrProcess[Breakers] = AppOrProcess("otelflask.breakers")
