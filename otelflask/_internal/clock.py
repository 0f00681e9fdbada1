"""The clock of all telemetry: what stands in a span, a record or a count reads the time here, and a test can stop it.

Waits, deadlines and pauses read `time.monotonic` themselves: a test that stops the clock does not stop them.
Call these as ``clock.time_ns()``; a name that is imported from here would keep the clock that was there before.
"""

from __future__ import annotations

from datetime import datetime, timezone
from time import monotonic, perf_counter_ns, time, time_ns

__all__ = ["epoch_seconds", "monotonic", "monotonic_seconds", "now", "perf_counter_ns", "time", "time_ns"]


def epoch_seconds() -> float:
    """The time in epoch seconds: a function to keep, which asks the clock that is there when it is called."""
    return time()


def monotonic_seconds() -> float:
    """Seconds that never go back: a function to keep, as `epoch_seconds`."""
    return monotonic()


def now() -> datetime:
    """The time in UTC."""
    return datetime.fromtimestamp(time(), timezone.utc)
