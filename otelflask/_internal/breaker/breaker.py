"""The circuit breaker: parallel calls, a limited number of trials, and only failures counted.

No library has all three. pybreaker holds its lock while the user's function runs. pybreaker,
circuitbreaker and purgatory let any number of trials through (`docs/dependencies.md`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from otelflask._internal import guard
from otelflask._internal.breaker import registry
from otelflask._internal.breaker.state import CLOSED, HALF_OPEN, OPEN, LocalState, RedisState, Snapshot, State, Trial
from otelflask._internal.clock import epoch_seconds
from otelflask._internal.error_responses.app_errors import ServiceUnavailableError

#: Seconds until an open circuit admits trials, without an argument.
DEFAULT_RESET_TIMEOUT_S = 30.0

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
#: Which exceptions are failures of the service: a class, several classes, or a predicate.
Expected = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]


class CircuitOpenError(ServiceUnavailableError):
    """The circuit is open, or half-open with all trials in use. The call was not made.

    By default it is answered as a 503 with Retry-After.
    """


CircuitOpenError.__module__ = "otelflask.breaker"


@dataclass(frozen=True, slots=True)
class _Permit:
    """The state in which a call was admitted, and its trial, if it is one."""

    snapshot: Snapshot
    trial: Trial | None = None


class CircuitBreaker:
    """Call a service while it works, and stop for a while when it fails.

    Use it as a decorator, as ``breaker.call(function, *arguments)``, or as ``with
    breaker.calling():``. A call that is not admitted raises `CircuitOpenError`, or calls `fallback` if
    there is one. ``calling`` ignores `fallback` and always raises.

    Args:
        name: The service's name, for metrics and records (default: the qualified name of the first function
            that is decorated or called, or for ``calling`` the line that made the breaker). Use few names.
        failure_threshold: The number of failures in a row that opens the circuit.
        reset_timeout: Seconds until an open circuit admits trials (default: 30).
        timeout: Another name of `reset_timeout`.
        expected_exception: Which exceptions are failures: a class, several classes, or a predicate.
            Other exceptions are raised to the caller, and count neither as failure nor as success.
        fallback: Called with the call's arguments when a call is not admitted.
        half_open_calls: The number of trials of a half-open circuit. All must succeed to close it.
        clock: Returns epoch seconds.

    Raises:
        ValueError: An argument is not allowed.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        failure_threshold: int = 5,
        reset_timeout: float | None = None,
        timeout: float | None = None,
        expected_exception: Expected = Exception,
        fallback: Callable[..., Any] | None = None,
        half_open_calls: int = 1,
        clock: Callable[[], float] = epoch_seconds,
    ) -> None:
        if name is not None and (not isinstance(name, str) or not name):
            raise ValueError(f"{name!r} is no name for a circuit breaker; allowed is a text such as payments, or none")
        if timeout is not None and reset_timeout is not None:
            raise ValueError("timeout and reset_timeout are two names of one argument; allowed is one of them")
        reset_timeout = next(
            (given for given in (timeout, reset_timeout) if given is not None), DEFAULT_RESET_TIMEOUT_S
        )
        if failure_threshold < 1 or half_open_calls < 1 or not reset_timeout > 0:
            raise ValueError(
                f"failure_threshold is {failure_threshold}, half_open_calls {half_open_calls} and reset_timeout "
                f"{reset_timeout}; allowed are at least 1 failure, at least 1 trial, and more than 0 seconds"
            )
        caller: Any = inspect.currentframe()
        self._place = f"{caller.f_back.f_globals.get('__name__', '')}:{caller.f_back.f_lineno}"
        self.failure_threshold = failure_threshold
        self.reset_timeout = reset_timeout
        self._clock = clock
        self._local = LocalState(clock)
        self._redis_state: RedisState | None = None
        self._expected = expected_exception
        self._fallback = fallback
        self._half_open_calls = half_open_calls
        self.name = ""
        self._is_named = name is not None
        if name is not None:
            self._take_name(name)

    def _take_name(self, name: str) -> None:
        if not self.name:
            self.name = name
            self._calls = registry.register(self)

    def _take_name_of(self, function: Callable[..., Any]) -> None:
        if not self.name:
            kind = type(function)
            module = getattr(function, "__module__", None) or kind.__module__
            self._take_name(f"{module}.{getattr(function, '__qualname__', kind.__qualname__)}")

    @property
    def state(self) -> str:
        """``closed``, ``half_open`` or ``open``."""
        return self._store().load().name

    def _is_failure(self, error: BaseException) -> bool:
        """Whether this exception is a failure of the service."""
        if isinstance(self._expected, (type, tuple)):
            return isinstance(error, self._expected)
        return bool(guard.call_hook("predicate `expected_exception`", self._expected, error))

    def call(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Return ``func(*args, **kwargs)``, or what `fallback` returns for the same arguments.

        Raises:
            CircuitOpenError: The call was not admitted, and there is no fallback.
        """
        self._take_name_of(func)
        permit = self._admit_or_fallback()
        if permit is None:
            return self._fallback(*args, **kwargs)  # type: ignore[misc,no-any-return]
        with self._recording_outcome(permit):
            return func(*args, **kwargs)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Return a context manager: the block of the ``with`` statement is the call.

        Raises:
            CircuitOpenError: The call was not admitted.
        """
        with self._recording_outcome(self._admit()):
            yield

    def __call__(self, function: F) -> F:
        """Decorate a function, a coroutine function or a generator function, but no async generator function."""
        self._take_name_of(function)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaiting(*args: Any, **kwargs: Any) -> Any:
                permit = self._admit_or_fallback()
                if permit is None:
                    given = self._fallback(*args, **kwargs)  # type: ignore[misc]
                    return await given if inspect.isawaitable(given) else given
                with self._recording_outcome(permit):
                    return await function(*args, **kwargs)

            return cast(F, awaiting)
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def yielding(*args: Any, **kwargs: Any) -> Any:
                permit = self._admit_or_fallback()
                if permit is None:
                    return (yield from self._fallback(*args, **kwargs))  # type: ignore[misc]
                with self._recording_outcome(permit):
                    return (yield from function(*args, **kwargs))

            return cast(F, yielding)

        @functools.wraps(function)
        def calling(*args: Any, **kwargs: Any) -> Any:
            return self.call(function, *args, **kwargs)

        return cast(F, calling)

    def open(self) -> None:
        """Open the circuit by hand."""
        self._change_state(self._store().load(), OPEN, "by hand")

    def half_open(self) -> None:
        """Admit trials now."""
        self._change_state(self._store().load(), HALF_OPEN, "by hand")

    def close(self) -> None:
        """Close the circuit by hand."""
        self._change_state(self._store().load(), CLOSED, "by hand")

    def _store(self) -> State:
        self._take_name(self._place)
        shared = registry.in_use.current()
        if shared is None or shared.redis is None:
            return self._local
        if self._redis_state is None:
            key = f"otelflask:breaker:{shared.namespace}:{self.name}"
            self._redis_state = RedisState(shared.redis, key, self._local)
        return self._redis_state

    def _admit(self) -> _Permit:
        """Admit a call, or raise CircuitOpenError. No lock is held meanwhile."""
        store = self._store()
        snapshot = store.load()
        if snapshot.name == OPEN:
            # Never longer than `reset_timeout`, however clocks are set.
            remaining = min(float(snapshot.changed_at) + self.reset_timeout - self._clock(), self.reset_timeout)
            if remaining > 0:
                raise self._rejected(remaining)
            self._change_state(snapshot, HALF_OPEN, f"after {self.reset_timeout:g} s")
            # Another caller may have changed the state first.
            snapshot = store.load()
            if snapshot.name == OPEN:
                raise self._rejected(self.reset_timeout)
        if snapshot.name == HALF_OPEN:
            trial = store.take_trial(snapshot, self._half_open_calls, self.reset_timeout)
            if trial is None:
                raise self._rejected(1.0)
            return _Permit(snapshot, trial)
        return _Permit(snapshot)

    def _admit_or_fallback(self) -> _Permit | None:
        """Like `_admit`, but None where the fallback is to be called."""
        try:
            return self._admit()
        except CircuitOpenError:
            if self._fallback is None:
                raise
            return None

    def _rejected(self, retry_after: float) -> CircuitOpenError:
        self._calls.add("rejected")
        # A name that nobody has chosen is one of the code, which is not for clients.
        who = self.name if self._is_named else "a service"
        return CircuitOpenError(f"{who} is not available now", retry_after=retry_after)

    @contextmanager
    def _recording_outcome(self, permit: _Permit) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            if self._is_failure(error):
                self._calls.add("failure")
                self._failed(permit, error)
            else:
                # Neither success nor failure: a missing row, a validation error, the end of the process.
                self._calls.add("other")
                if permit.trial is not None:
                    self._store().give_back_trial(permit.snapshot, permit.trial)
            raise
        self._calls.add("success")
        self._succeeded(permit)

    def _failed(self, permit: _Permit, error: BaseException) -> None:
        failures = self._store().count(permit.snapshot, "failures")
        kind = type(error).__name__
        if failures and permit.trial is not None:
            self._change_state(permit.snapshot, OPEN, f"a trial failed: {kind}")
        elif failures >= self.failure_threshold:
            self._change_state(permit.snapshot, OPEN, f"{failures} failures in a row: {kind}")

    def _succeeded(self, permit: _Permit) -> None:
        store = self._store()
        if permit.trial is not None:
            if store.count(permit.snapshot, "successes") >= self._half_open_calls:
                self._change_state(permit.snapshot, CLOSED, "all trials succeeded")
        else:
            store.forget_failures(permit.snapshot)

    def _change_state(self, snapshot: Snapshot, name: str, why: str) -> None:
        at = self._clock()
        # The time of the change identifies a state's period, so it must differ from that of the period before.
        at += 1e-6 if repr(at) == snapshot.changed_at else 0.0
        if snapshot.name == name or not self._store().move(snapshot, name, at):
            return
        shared = registry.in_use.current()
        if shared is not None:
            shared.moved(self, snapshot.name, name, why)
