"""Health checks: they run in parallel, with a timeout each, and no check runs twice at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from opentelemetry.metrics import CallbackOptions, Observation

from otelflask._internal import attribute_names, clock, guard
from otelflask._internal.lifecycle.component import Component
from otelflask._internal.locks import new_lock
from otelflask._internal.version import __version__

#: The result of a check: None or True passes, False fails, and other values are shown as observed.
Answer = Any
Function = TypeVar("Function", bound=Callable[[], Answer])

PASS, WARN, FAIL = "pass", "warn", "fail"


class Degraded(Exception):  # noqa: N818
    """Raise it in a check for something that works, but not well. The check's status is `warn`."""


Degraded.__module__ = "otelflask.health"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a check.

    Attributes:
        status: ``pass``, ``warn`` or ``fail``.
        output: What went wrong.
        observed: The observed value, or values by name.
        unit: The unit of `observed`.
        seconds: The duration.
        at: The time in epoch seconds.
    """

    status: str
    output: str = ""
    observed: Any = None
    unit: str = ""
    seconds: float = 0.0
    at: float = 0.0


@dataclass
class Check:
    """One check.

    Attributes:
        critical: Whether the app is not ready when the check fails.
        timeout: Seconds that an answer waits for the check.
        cache: Seconds that an outcome counts.
        unit: The unit of the observed value.
        is_shown_only: Whether its outcome is shown, and changes no status.
    """

    name: str
    function: Callable[[], Answer]
    critical: bool = True
    timeout: float = 1.0
    cache: float = 5.0
    unit: str = ""
    is_shown_only: bool = False
    last: Outcome | None = None
    _run: _Run | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=new_lock, repr=False)

    def begin(self) -> _Run | None:
        """Start the check, unless it is running or its outcome still counts.

        Returns:
            The run to wait for; None where the last outcome counts.
        """
        with self._lock:
            if self._run is not None and not self._run.done.is_set():
                # Wait for a hanging run and start no other: one thread a check.
                return self._run
            if self.last is not None and clock.time() - self.last.at < self.cache:
                return None
            run = self._run = _Run(self)
        run.start()
        return run

    def after_fork(self) -> None:
        """Forget the parent's run."""
        self._run = None


class _Run(threading.Thread):
    """One run of a check."""

    def __init__(self, check: Check) -> None:
        super().__init__(name=f"otelflask-health-{check.name}", daemon=True)
        self._check = check
        self.done = threading.Event()

    def run(self) -> None:
        started = time.monotonic()
        outcome = guard.attempt(self._outcome, on_error=_outcome_of_error)
        seconds = time.monotonic() - started
        self._check.last = Outcome(
            outcome.status, outcome.output, outcome.observed, outcome.unit, seconds, clock.time()
        )
        self.done.set()

    def _outcome(self) -> Outcome:
        return _outcome_of(self._check.function(), self._check.unit)


def _outcome_of(answer: Answer, unit: str) -> Outcome:
    if answer is False:
        return Outcome(FAIL, "the check answered False")
    if answer is None or answer is True:
        return Outcome(PASS)
    return Outcome(PASS, observed=answer, unit=unit)


def _outcome_of_error(error: Exception) -> Outcome:
    if isinstance(error, Degraded):
        return Outcome(WARN, guard.safe_text(error)[:500])
    return Outcome(FAIL, f"{type(error).__name__}: {guard.safe_text(error)}"[:500])


#: The app's checks that were declared before or outside of any app.
_declared: list[Check] = []


def check(
    name: str, *, critical: bool = True, timeout: float = 1.0, cache: float = 5.0, unit: str = ""
) -> Callable[[Function], Function]:
    """Declare a function as a health check: ``@health.check("stock")``.

    The check passes when the function returns. It fails when the function returns False or raises,
    and warns when it raises `Degraded`. Any other result is shown as the observed value.

    Args:
        name: The name of the check.
        critical: Whether the app is not ready when the check fails.
        timeout: Seconds that an answer waits for the check.
        cache: Seconds that an outcome counts.
        unit: The unit of the observed value.

    Raises:
        ValueError: The name is empty or taken, or a time is negative.
        TypeError: It is used without parentheses.
    """
    if callable(name):
        raise TypeError(f'health.check takes a name: @health.check("{getattr(name, "__name__", "stock")}")')
    if not name or any(known.name == name for known in _declared):
        raise ValueError(f"{name!r} is no name for a check; allowed is one that no other check has")
    if timeout <= 0 or cache < 0:
        raise ValueError(f"timeout is {timeout} and cache is {cache}; allowed are seconds above 0, and of at least 0")

    def declare(function: Function) -> Function:
        _declared.append(Check(name, function, critical, timeout, cache, unit))
        return function

    return declare


class Checks(Component):
    """All checks of a process: built-in and declared ones.

    Args:
        given: Returns the built-in checks.
        meter_provider: Where the outcomes are measured.
    """

    def __init__(self, given: Callable[[], Iterable[Check]], meter_provider: Any) -> None:
        self._given = given
        meter_provider.get_meter("otelflask.health", __version__).create_observable_gauge(
            "otelflask.health.check",
            callbacks=[self._observe],
            unit="{check}",
            description="Whether a check passed when it was run last: 1, or 0.",
        )

    def _observe(self, options: CallbackOptions) -> Iterable[Observation]:
        worst: dict[str, int] = {}
        for item in self.all():
            if item.last is not None:
                # Two engines of one database have one name.
                worst[item.name] = min(worst.get(item.name, 1), int(item.last.status != FAIL))
        for name, value in worst.items():
            yield Observation(value, {attribute_names.HEALTH_NAME: name})

    def all(self) -> list[Check]:
        """All checks, in a fixed order."""
        return [*self._given(), *_declared]

    def run(self, critical_only: bool = False) -> list[tuple[Check, Outcome]]:
        """Run the checks that have no valid outcome, in parallel. Each is waited for until its timeout."""
        checks = [item for item in self.all() if item.critical or not critical_only]
        started = time.monotonic()
        running = [(item, item.begin()) for item in checks]
        found: list[tuple[Check, Outcome]] = []
        for item, run in running:
            if run is not None and not run.done.wait(max(0.0, item.timeout - (time.monotonic() - started))):
                outcome = Outcome(FAIL, f"no answer within {item.timeout:g} s", at=clock.time())
            else:
                outcome = item.last or Outcome(FAIL, "never run")
            found.append((item, outcome))
        return found

    def status(self) -> str:
        """Run the checks, and return the status of the app (see `worst`)."""
        return worst(self.run())

    def after_fork(self) -> None:
        """Forget the parent's runs."""
        for item in self.all():
            item.after_fork()


def worst(checks: list[tuple[Check, Outcome]]) -> str:
    """``fail`` where a critical check fails, ``warn`` where another check fails or any check warns, else ``pass``."""
    status = PASS
    for item, outcome in checks:
        if item.is_shown_only:
            continue
        if outcome.status == FAIL and item.critical:
            return FAIL
        if outcome.status != PASS:
            status = WARN
    return status
