"""The time that a signal leaves to the end of the process. It may come nearer while the process ends."""

from __future__ import annotations

import time

#: In time.monotonic seconds.
_at = float("inf")


def leave(seconds: float) -> None:
    """Leave so many seconds to what ends. Takes no lock, so that a signal handler may call it."""
    global _at
    _at = min(_at, time.monotonic() + seconds)


def soonest(deadline: float) -> float:
    """The earlier one of a deadline (time.monotonic seconds) and what a signal has left."""
    return min(deadline, _at)


def is_over() -> bool:
    """Whether the time is over that a signal has left."""
    return time.monotonic() >= _at


def forget() -> None:
    """Forget the signals of a parent."""
    global _at
    _at = float("inf")
