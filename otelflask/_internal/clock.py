"""The clock of all telemetry. Tests can stop it.

Times in spans, records and counts come from here. Waits, deadlines and pauses read
`time.monotonic` themselves, so a stopped clock does not stop them. Call the functions as
``clock.time_ns()``: a name imported from here would keep the clock of that moment.
"""

from __future__ import annotations

from datetime import datetime, timezone
from time import monotonic, perf_counter_ns, time, time_ns

__all__ = ["epoch_seconds", "monotonic", "monotonic_seconds", "now", "perf_counter_ns", "time", "time_ns", "timestamp"]


def epoch_seconds() -> float:
    """The time in epoch seconds. Unlike `time`, it can be stored: it reads the current clock at each call."""
    return time()


def monotonic_seconds() -> float:
    """Monotonic time in seconds. It can be stored, like `epoch_seconds`."""
    return monotonic()


def now() -> datetime:
    """The time in UTC."""
    return datetime.fromtimestamp(time(), timezone.utc)


def timestamp(style: str) -> str | int:
    """The time for a JSON body: ISO 8601 text in UTC (``iso``), or whole seconds (``epoch``)."""
    return int(time()) if style == "epoch" else now().isoformat(timespec="milliseconds")
