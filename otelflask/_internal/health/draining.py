"""Whether this server is about to end: one byte that a master and its workers share."""

from __future__ import annotations

import mmap
import os
import signal
import threading
from types import FrameType
from typing import Any

#: Anonymous and shared: a worker that is forked later sees it too.
_flag = mmap.mmap(-1, 1)


def is_draining() -> bool:
    """Whether the server is about to end. It still answers, but is not ready."""
    return _flag[0] == 1


def begin() -> None:
    """Be not ready from now on."""
    _flag[0] = 1


def end() -> None:
    """Be ready again."""
    _flag[0] = 0


def delay_end(seconds: float) -> None:
    """Delay the first SIGTERM, and be not ready meanwhile.

    A server closes its listener at once, before a load balancer could notice. A second SIGTERM is
    obeyed at once.

    Args:
        seconds: The delay.
    """
    original: Any = signal.getsignal(signal.SIGTERM)

    def drain(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, original)
        begin()
        timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, drain)
