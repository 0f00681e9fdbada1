"""Count the occurrences of each group of errors, and limit how many get a full report.

The first occurrence of a group is counted at once, so that a notification can be sent. After that,
counts are emitted once a minute, until a minute has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from otelflask._internal import clock
from otelflask._internal.lifecycle.background_task import BackgroundTask
from otelflask._internal.locks import new_rlock

WINDOW_S = 60.0
#: Seconds after a minute's end at which its remaining count is emitted.
EMIT_DELAY_S = 0.01
#: The most groups that are counted at the same time.
MAX_GROUPS = 1_000

T = TypeVar("T")


@dataclass
class _Window(Generic[T]):
    """One group's minute."""

    ends: float
    occurrences: int = 0
    pending: int = 0
    #: The time of the last occurrence, in epoch nanoseconds.
    at: int = 0
    #: The last occurrence with a full report.
    last: T | None = None


class GroupCounts(Generic[T]):
    """Counts occurrences by group and emits the counts.

    Args:
        per_minute: The maximum number of full reports of a group in a minute.
        emit_count: Called with the last occurrence with a full report, the number of occurrences since
            the last call, and the time of the last of them (epoch nanoseconds).
        now: Returns monotonic seconds.
    """

    def __init__(
        self,
        per_minute: int,
        emit_count: Callable[[T, int, int], None],
        now: Callable[[], float] = clock.monotonic_seconds,
    ) -> None:
        self._per_minute = per_minute
        self._emit_count = emit_count
        self._now = now
        # A little later, so that the minute has ended by any clock.
        self._task = BackgroundTask("error-groups", self._work, WINDOW_S + EMIT_DELAY_S, work_at_end=False)
        # Re-entrant: an app's `__del__` or signal handler may log an error at any point of this code. Nothing that
        # waits or switches greenlets is done while it is held.
        self._lock = new_rlock()
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the parent's counts."""
        self._windows: dict[str, _Window[T]] = {}
        self._task.after_fork()

    def admit(self, group: str) -> bool:
        """Count one more occurrence.

        Returns:
            Whether it may get a full report. Then `reported`, `missed` or `dropped` must be called.
        """
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
                window.pending += 1
                window.at = clock.time_ns()
        if evicted is not None and evicted.last is not None and evicted.pending:
            self._emit_count(evicted.last, evicted.pending, evicted.at)
        return whole

    def _open(self, group: str, now: float, last: T | None = None) -> _Window[T] | None:
        """Begin a group's minute.

        Returns:
            The minute of another group that was removed because there were too many; else None.
        """
        # Removed first: the order of the dict is the order of the ends.
        self._windows.pop(group, None)
        self._windows[group] = _Window(now + WINDOW_S, last=last)
        return self._windows.pop(next(iter(self._windows))) if len(self._windows) > MAX_GROUPS else None

    def dropped(self, group: str) -> None:
        """Take an admitted occurrence back: `before_send` dropped or regrouped it, or it is a cause of another one."""
        with self._lock:
            window = self._windows.get(group)
            if window is not None:
                window.occurrences -= 1

    def missed(self, group: str) -> None:
        """Count an admitted occurrence that cannot get a full report."""
        with self._lock:
            window = self._windows.get(group)
            if window is not None:
                window.pending += 1
                window.at = clock.time_ns()

    def reported(self, group: str, occurrence: T) -> None:
        """Count an occurrence with a full report: at once if it is the first, or the first after a quiet minute."""
        at = clock.time_ns()
        with self._lock:
            window = self._windows.get(group)
            first = window is None or window.last is None
            count = 1 + (window.pending if window is not None and first else 0)
            if window is not None:
                window.last = occurrence
                window.pending = 0 if first else window.pending + 1
                window.at = at
        if first:
            self._task.wake()
            self._emit_count(occurrence, count, at)

    def emit_ended(self) -> float | None:
        """Emit the remaining counts of ended minutes.

        Returns:
            Seconds until the next minute ends; None where none is open.
        """
        pending: list[tuple[T, int, int]] = []
        now = self._now()
        with self._lock:
            for group, window in list(self._windows.items()):
                if window.ends > now:
                    break
                if window.last is not None and window.pending:
                    pending.append((window.last, window.pending, window.at))
                    self._open(group, now, window.last)
                else:
                    self._windows.pop(group, None)
            first = next(iter(self._windows.values()), None)
        for last, count, at in pending:
            self._emit_count(last, count, at)
        return None if first is None else max(0.0, first.ends - now)

    def flush(self) -> None:
        """Emit all remaining counts."""
        pending: list[tuple[T, int, int]] = []
        with self._lock:
            for window in list(self._windows.values()):
                if window.last is not None and window.pending:
                    pending.append((window.last, window.pending, window.at))
                    window.pending = 0
        for last, count, at in pending:
            self._emit_count(last, count, at)

    def _work(self) -> float | None:
        pause = self.emit_ended()
        return None if pause is None else pause + EMIT_DELAY_S
