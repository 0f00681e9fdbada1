"""One bound for the end of a process and of those that it has forked: what its workers have used, it has not.

gunicorn's master with ``--preload``, like any process that forks its workers, ends after them.
"""

from __future__ import annotations

import mmap
import os
import struct
import time

#: Seconds after the end of a worker within which the end of its parent, or of another worker, is the same end.
SAME_END_S = 3.0
#: Seconds that a process has in any case: enough for a receiver that answers.
LEAST_S = 0.5
_TIMES = struct.Struct("ddq")


class SharedEnd:
    """When the workers of a process last began to end, had ended, and whose they were. Forked children share it."""

    def __init__(self) -> None:
        self._times = mmap.mmap(-1, _TIMES.size)

    def seconds(self, timeout: float) -> float:
        """The seconds that this process may take to end, of the `timeout` that it has with its workers."""
        began: float
        began, ended, parent = _TIMES.unpack_from(self._times)
        now = time.monotonic()
        if parent != os.getpid() or now - ended > SAME_END_S:
            # A worker that ends does not hurry because another one has been replaced.
            return timeout
        return min(timeout, max(LEAST_S, began + timeout - now))

    def note(self, began: float) -> None:
        """Note that this process has ended its telemetry.

        Args:
            began: When it began to, in time.monotonic seconds, which all processes of a machine share.
        """
        first, ended, parent = _TIMES.unpack_from(self._times)
        if parent == os.getppid() and began - ended <= SAME_END_S:
            began = min(began, first)
        _TIMES.pack_into(self._times, 0, began, time.monotonic(), os.getppid())
