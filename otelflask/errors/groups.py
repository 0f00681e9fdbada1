"""How often each group of errors occurs: which occurrences go out whole, and the count of all of them.

A group's first occurrence in a minute is said at once, so that someone can be
told; the others of that minute are said together at its end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from otelflask import guard

WINDOW_S = 60.0
#: Groups counted at the same time; a process with more of them in a minute has other trouble.
MAX_GROUPS = 1_000

T = TypeVar("T")


@dataclass
class _Window(Generic[T]):
    """One group's minute."""

    ends: float
    occurrences: int = 0
    unsaid: int = 0
    #: The last of them that went out whole.
    last: T | None = None


class GroupCounts(Generic[T]):
    """Counts occurrences by group, and says the counts.

    In: how many of a group go out whole in a minute; `say(last, count)`,
    called with the last occurrence that went out and how many there were
    since the last call; a clock in seconds.
    """

    def __init__(
        self, per_minute: int, say: Callable[[T, int], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_minute = per_minute
        self._say = say
        self._clock = clock
        self.after_fork()

    def after_fork(self) -> None:
        """A child counts for itself."""
        self._lock = threading.Lock()
        self._windows: dict[str, _Window[T]] = {}
        self._thread: threading.Thread | None = None

    def admit(self, group: str) -> bool:
        """One more occurrence. Out: whether it may go out whole; if it does, `went_out` is to be called."""
        now = self._clock()
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
        if evicted is not None and evicted.last is not None and evicted.unsaid:
            self._say(evicted.last, evicted.unsaid)
        return whole

    def _open(self, group: str, now: float, last: T | None = None) -> _Window[T] | None:
        """Begin a group's minute. Out: the minute that had to end for it."""
        # Taken out first: the order is that of their ends.
        self._windows.pop(group, None)
        self._windows[group] = _Window(now + WINDOW_S, last=last)
        return self._windows.pop(next(iter(self._windows))) if len(self._windows) > MAX_GROUPS else None

    def went_out(self, group: str, occurrence: T) -> None:
        """An occurrence went out whole; the first of its minute is said at once."""
        with self._lock:
            window = self._windows.get(group)
            first = window is None or window.last is None
            count = 1 + (window.unsaid if window is not None and first else 0)
            if window is not None:
                window.last = occurrence
                window.unsaid = 0 if first else window.unsaid + 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="otelflask-error-groups", daemon=True)
                self._thread.start()
        if first:
            self._say(occurrence, count)

    def say_ended(self) -> float | None:
        """Say what ended minutes have left. Out: seconds until the next ends; None where no minute is open."""
        said: list[tuple[T, int]] = []
        now = self._clock()
        with self._lock:
            for group, window in list(self._windows.items()):
                if window.ends > now:
                    break
                if window.last is not None and window.unsaid:
                    said.append((window.last, window.unsaid))
                    self._open(group, now, window.last)
                else:
                    del self._windows[group]
            first = next(iter(self._windows.values()), None)
            if first is None:
                self._thread = None
        for last, count in said:
            self._say(last, count)
        return None if first is None else max(0.0, first.ends - now)

    def flush(self) -> None:
        """Say all that is counted and not said yet."""
        with self._lock:
            said = [(window.last, window.unsaid) for window in self._windows.values()]
            for window in self._windows.values():
                if window.last is not None:
                    window.unsaid = 0
        for last, count in said:
            if last is not None and count:
                self._say(last, count)

    def _run(self) -> None:
        pause: float | None = 0.0
        while pause is not None:
            # A little later, so that the minute has ended by any clock.
            time.sleep(pause + 0.01)
            try:
                pause = self.say_ended()
            except Exception:
                pause = WINDOW_S
                guard.say("groups", "counts of error groups cannot be said", exc_info=True)
