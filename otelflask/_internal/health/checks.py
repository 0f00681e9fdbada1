"""Checks: run in parallel, each in its own time, and none twice at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from opentelemetry.metrics import CallbackOptions, Observation

from otelflask._internal import clock, guard
from otelflask._internal.lifecycle.part import Part
from otelflask._internal.locks import new_lock
from otelflask._internal.version import __version__

#: What a check may return: nothing or true for well, false for ill, or what was observed, by name.
Answer = Any
Function = TypeVar("Function", bound=Callable[[], Answer])

PASS, WARN, FAIL = "pass", "warn", "fail"


class Degraded(Exception):  # noqa: N818
    """Raise it in a check: it works, and not as it should (`warn`)."""


Degraded.__module__ = "otelflask.health"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a check went: `status` as the health format has it, what was observed, and when (epoch seconds)."""

    status: str
    output: str = ""
    observed: Any = None
    unit: str = ""
    seconds: float = 0.0
    at: float = 0.0


@dataclass
class Check:
    """One check.

    `timeout` and `cache` in seconds: how long an answer waits for it, and how
    long an outcome counts. `critical` ones decide whether the app is ready.
    """

    name: str
    function: Callable[[], Answer]
    critical: bool = True
    timeout: float = 1.0
    cache: float = 5.0
    unit: str = ""
    last: Outcome | None = None
    _run: _Run | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=new_lock, repr=False)

    def begin(self) -> _Run | None:
        """Start it, unless it is running or was run just now. Out: what to wait for; None where the outcome counts."""
        with self._lock:
            if self._run is not None and not self._run.done.is_set():
                # A hanging one is waited for again, not started again: one thread a check.
                return self._run
            if self.last is not None and clock.time() - self.last.at < self.cache:
                return None
            run = self._run = _Run(self)
        run.start()
        return run

    def after_fork(self) -> None:
        """What ran in the parent does not run here."""
        self._run = None


class _Run(threading.Thread):
    """One run of a check."""

    def __init__(self, check: Check) -> None:
        super().__init__(name=f"otelflask-health-{check.name}", daemon=True)
        self._check = check
        self.done = threading.Event()

    def run(self) -> None:
        started = time.monotonic()
        outcome = guard.attempt(self._outcome, instead=_outcome_of_error)
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


#: Checks of the app's own that were declared before or outside of any app.
_declared: list[Check] = []


def check(
    name: str, *, critical: bool = True, timeout: float = 1.0, cache: float = 5.0, unit: str = ""
) -> Callable[[Function], Function]:
    """Declare a function as a check of the app's health: ``@health.check("stock")``.

    In: its name; whether the app is not ready without it; seconds that an
    answer waits for it, and for which its outcome counts; the unit of what it
    returns. The function passes by returning; False and an exception fail,
    `Degraded` warns; what else it returns is shown as observed. Raises
    ValueError for a name that is taken or empty, or times that are negative.
    """
    if not name or any(known.name == name for known in _declared):
        raise ValueError(f"{name!r} is no name for a check; allowed is one that no other check has")
    if timeout <= 0 or cache < 0:
        raise ValueError(f"timeout is {timeout} and cache is {cache}; allowed are seconds above 0, and of at least 0")

    def declare(function: Function) -> Function:
        _declared.append(Check(name, function, critical, timeout, cache, unit))
        return function

    return declare


class Checks(Part):
    """All checks of a process: those given, and those that were declared.

    In: what gives them, and the meter provider.
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
            yield Observation(value, {"otelflask.health.name": name})

    def all(self) -> list[Check]:
        """In a fixed order."""
        return [*self._given(), *_declared]

    def run(self, critical_only: bool = False) -> list[tuple[Check, Outcome]]:
        """Run those whose outcome is out of date, in parallel; none is waited for longer than its timeout."""
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

    def after_fork(self) -> None:
        """Put the checks right in a forked child."""
        for item in self.all():
            item.after_fork()
