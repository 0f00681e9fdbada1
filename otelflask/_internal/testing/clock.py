"""A clock that stands still until a test advances it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from otelflask._internal import clock as ours
from otelflask._internal.compat.otel_clock import MODULES_THAT_READ_THE_TIME

#: 2024-01-01T00:00:00Z in epoch nanoseconds.
START_NS = 1_704_067_200_000_000_000

#: Functions of `otelflask._internal.clock`, and how to make their values of epoch nanoseconds.
_OURS: dict[str, Callable[[int], float]] = {
    "time_ns": lambda now: now,
    "perf_counter_ns": lambda now: now,
    "time": lambda now: now / 1e9,
    "monotonic": lambda now: now / 1e9,
}


class FixedClock:
    """A fixed time, in epoch nanoseconds. `advance` moves it."""

    def __init__(self, now: int = START_NS) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        """Advance the time by `seconds`.

        Raises:
            ValueError: They are negative.
        """
        if seconds < 0:
            raise ValueError(f"a clock does not go back: {seconds}")
        self.now += round(seconds * 1e9)


@contextmanager
def frozen(clock: FixedClock) -> Iterator[FixedClock]:
    """Make all telemetry read its time from `clock` during a block."""

    def read(made: Callable[[int], float]) -> Callable[[], float]:
        return lambda: made(clock.now)

    with ExitStack() as replaced:
        for name, made in _OURS.items():
            replaced.enter_context(patch.object(ours, name, read(made)))
        for module in MODULES_THAT_READ_THE_TIME:
            replaced.enter_context(patch(f"{module}.time_ns", clock))
        yield clock
