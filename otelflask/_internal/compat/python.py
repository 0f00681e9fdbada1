"""Python: frames and locks. Sources: ``sys._getframe``, ``threading.Lock``."""

from __future__ import annotations

import sys
from operator import methodcaller

__all__ = ["current_frame", "free_after_fork"]

#: The frame that calls this; with a number, as many frames further out.
current_frame = sys._getframe
#: Free a lock in a forked child, as CPython does for those of `logging` and `concurrent.futures`; gevent's can it too.
free_after_fork = methodcaller("_at_fork_reinit")
