"""A clock that stands still until it is told to move."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

#: 2024-01-01T00:00:00Z in epoch nanoseconds.
START_NS = 1_704_067_200_000_000_000

#: Where the time is read: ours, and the SDK's for spans and records of the app's own.
_READERS = (
    ("otelflask.http.record", "time_ns"),
    ("otelflask.http.record", "perf_counter_ns"),
    ("otelflask.pipeline.spans", "time_ns"),
    ("otelflask.pipeline.records", "time_ns"),
    ("otelflask.pipeline.metrics", "time_ns"),
    ("otelflask.errors.emission", "time_ns"),
    ("otelflask.logs.events", "time_ns"),
    ("otelflask.database.engine", "time_ns"),
    ("otelflask.database.watch", "time_ns"),
    ("otelflask.database.engine", "perf_counter_ns"),
    ("opentelemetry.sdk.trace", "time_ns"),
    ("opentelemetry._logs._internal", "time_ns"),
)


class FixedClock:
    """Time as epoch nanoseconds; `advance` moves it on."""

    def __init__(self, now: int = START_NS) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`. Raises ValueError when they are negative."""
        if seconds < 0:
            raise ValueError(f"a clock does not go back: {seconds}")
        self.now += round(seconds * 1e9)


@contextmanager
def frozen(clock: FixedClock) -> Iterator[FixedClock]:
    """Within this context all telemetry reads its time from `clock`."""
    replaced = []
    try:
        for module_name, name in _READERS:
            try:
                module = importlib.import_module(module_name)
            except ImportError:
                # The database room, in an app without SQLAlchemy.
                continue
            replaced.append((module, name, getattr(module, name)))
            setattr(module, name, clock)
        yield clock
    finally:
        for module, name, original in replaced:
            setattr(module, name, original)
