"""Python: frames and locks. Sources: ``sys._getframe``, ``threading.Lock``."""

from __future__ import annotations

import sys
from operator import methodcaller

__all__ = ["current_frame", "free_after_fork"]

#: The caller's frame; with a number, a frame that many steps further out.
current_frame = sys._getframe
#: Reset a lock in a forked child, as CPython does for the locks of `logging`. gevent's locks have it too.
free_after_fork = methodcaller("_at_fork_reinit")
