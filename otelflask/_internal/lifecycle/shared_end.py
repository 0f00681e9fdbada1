"""One bound for the end of a tree of processes: what its workers have used, the process that forked them has not.

gunicorn's master with ``--preload``, like any process that forks its workers, ends after them.
"""

from __future__ import annotations

import mmap
import struct
import time

#: Seconds after the end of a worker within which the end of its parent is the same end.
SAME_END_S = 1.0
#: Seconds that a process has in any case: enough for a receiver that answers.
LEAST_S = 0.5
_TIMES = struct.Struct("dd")


class SharedEnd:
    """When a process of the tree last began to end, and had ended. Forked children share it."""

    def __init__(self) -> None:
        self._times = mmap.mmap(-1, _TIMES.size)

    def seconds(self, timeout: float) -> float:
        """The seconds that this process may take to end, of the `timeout` of the tree."""
        began, ended = _TIMES.unpack_from(self._times)
        now = time.monotonic()
        return timeout if now - ended > SAME_END_S else min(timeout, max(LEAST_S, began + timeout - now))

    def note(self, began: float) -> None:
        """Note that this process has ended its telemetry.

        Args:
            began: When it began to, in time.monotonic seconds, which all processes of a machine share.
        """
        _TIMES.pack_into(self._times, 0, began, time.monotonic())
