"""How many reports of one group go out whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Groups that are remembered; a process with more has other trouble.
MAX_GROUPS = 5_000
WINDOW_S = 60.0


class GroupLimiter:
    """Lets a number of each group through in a minute, and counts the rest.

    In: the number a minute, and a clock in seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        #: Group → start of its minute, how many went out in it, how many were held back since one went out.
        self._groups: dict[str, tuple[float, int, int]] = {}

    def after_fork(self) -> None:
        """A child counts for itself."""
        self._reset()

    def admit(self, group: str) -> int | None:
        """How many were held back since the last that went out; None when this one is held back as well."""
        now = self._clock()
        with self._lock:
            start, count, held_back = self._groups.pop(group, (now, 0, 0))
            if now - start >= WINDOW_S:
                start, count = now, 0
            if count >= self._per_minute:
                self._groups[group] = (start, count, held_back + 1)
                return None
            self._groups[group] = (start, count + 1, 0)
            if len(self._groups) > MAX_GROUPS:
                # The one that was quiet for longest.
                del self._groups[next(iter(self._groups))]
            return held_back
