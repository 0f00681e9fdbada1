"""How often each group of errors occurs: which occurrences go out whole, and the count of all of them.

A group's first occurrence in a minute is said at once, so that someone can be
told; the others of that minute are said together at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from otelflask._internal import clock
from otelflask._internal.lifecycle.worker import Worker
from otelflask._internal.locks import new_rlock

WINDOW_S = 60.0
#: Seconds after a minute's end at which what it has left is said.
LATER_S = 0.01
#: Groups counted at the same time; a process with more of them in a minute has other trouble.
MAX_GROUPS = 1_000

T = TypeVar("T")


@dataclass
class _Window(Generic[T]):
    """One group's minute."""

    ends: float
    occurrences: int = 0
    unsaid: int = 0
    #: When the last of them was, in epoch ns.
    at: int = 0
    #: The last of them that went out whole.
    last: T | None = None


class GroupCounts(Generic[T]):
    """Counts occurrences by group, and says the counts.

    In: how many of a group go out whole in a minute; `say(last, count, at)`,
    called with the last occurrence that went out, how many there were since
    the last call, and when the last of them was (epoch ns); a clock in seconds.
    """

    def __init__(
        self, per_minute: int, say: Callable[[T, int, int], None], now: Callable[[], float] = clock.monotonic_seconds
    ) -> None:
        self._per_minute = per_minute
        self._say = say
        self._now = now
        # A little later, so that the minute has ended by any clock.
        self._worker = Worker("error-groups", self._work, WINDOW_S + LATER_S, work_at_end=False)
        # Re-entrant: an app's `__del__` or signal handler may log an error wherever it interrupts us. Nothing that
        # waits or switches greenlets is done while it is held.
        self._lock = new_rlock()
        self.after_fork()

    def after_fork(self) -> None:
        """A child counts for itself."""
        self._windows: dict[str, _Window[T]] = {}
        self._worker.after_fork()

    def admit(self, group: str) -> bool:
        """One more occurrence. Out: whether it may go out whole; then `went_out`, `missed` or `dropped` is called."""
        now = self._now()
        evicted: _Window[T] | None = None
        with self._lock:
            window = self._windows.get(group)
            if window is None or (window.last is None and window.ends <= now):
                evicted = self._open(group, now)
                window = self._windows[group]
            window.occurrences += 1
            whole = window.occurrences <= self._per_minute
            if not whole:
                window.unsaid += 1
                window.at = clock.time_ns()
        if evicted is not None and evicted.last is not None and evicted.unsaid:
            self._say(evicted.last, evicted.unsaid, evicted.at)
        return whole

    def _open(self, group: str, now: float, last: T | None = None) -> _Window[T] | None:
        """Begin a group's minute. Out: the minute that had to end for it."""
        # Taken out first: the order is that of their ends.
        self._windows.pop(group, None)
        self._windows[group] = _Window(now + WINDOW_S, last=last)
        return self._windows.pop(next(iter(self._windows))) if len(self._windows) > MAX_GROUPS else None

    def dropped(self, group: str) -> None:
        """An occurrence that was admitted is not wanted: it was none."""
        with self._lock:
            window = self._windows.get(group)
            if window is not None:
                window.occurrences -= 1

    def missed(self, group: str) -> None:
        """An occurrence that was admitted cannot go out whole: it is counted."""
        with self._lock:
            window = self._windows.get(group)
            if window is not None:
                window.unsaid += 1
                window.at = clock.time_ns()

    def went_out(self, group: str, occurrence: T) -> None:
        """An occurrence went out whole; the first of its minute is said at once."""
        at = clock.time_ns()
        with self._lock:
            window = self._windows.get(group)
            first = window is None or window.last is None
            count = 1 + (window.unsaid if window is not None and first else 0)
            if window is not None:
                window.last = occurrence
                window.unsaid = 0 if first else window.unsaid + 1
                window.at = at
        if first:
            self._worker.wake()
            self._say(occurrence, count, at)

    def say_ended(self) -> float | None:
        """Say what ended minutes have left. Out: seconds until the next ends; None where no minute is open."""
        said: list[tuple[T, int, int]] = []
        now = self._now()
        with self._lock:
            for group, window in list(self._windows.items()):
                if window.ends > now:
                    break
                if window.last is not None and window.unsaid:
                    said.append((window.last, window.unsaid, window.at))
                    self._open(group, now, window.last)
                else:
                    self._windows.pop(group, None)
            first = next(iter(self._windows.values()), None)
        for last, count, at in said:
            self._say(last, count, at)
        return None if first is None else max(0.0, first.ends - now)

    def flush(self) -> None:
        """Say all that is counted and not said yet."""
        said: list[tuple[T, int, int]] = []
        with self._lock:
            for window in list(self._windows.values()):
                if window.last is not None and window.unsaid:
                    said.append((window.last, window.unsaid, window.at))
                    window.unsaid = 0
        for last, count, at in said:
            self._say(last, count, at)

    def _work(self) -> float | None:
        pause = self.say_ended()
        return None if pause is None else pause + LATER_S
