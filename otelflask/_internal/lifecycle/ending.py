"""The end of a process: telemetry is sent before it, and never holds it up."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from types import FrameType
from typing import Protocol

from otelflask._internal.lifecycle import greenlets

#: Seconds beyond `shutdown_timeout` after which an end that hangs is left.
END_S = 1.0


class Ending(Protocol):
    """What is ended with the process; `shutdown_timeout` in seconds."""

    @property
    def shutdown_timeout(self) -> float: ...

    def shutdown(self) -> None: ...


def _shut_down_beside(ending: Ending) -> None:
    """Shut down while this thread, which a signal has stopped anywhere, may hold a lock that is needed for it."""
    if not greenlets.are_threads():
        thread = threading.Thread(target=ending.shutdown, name="otelflask-end", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No more threads.
            pass
        else:
            thread.join(ending.shutdown_timeout + END_S)
            return
    ending.shutdown()


def let_go(ending: Ending) -> None:
    """It was ended before the process ends."""
    atexit.unregister(ending.shutdown)


def end_in_time(ending: Ending) -> None:
    """Flush at exit, and at SIGTERM where nobody else handles it (``flask run`` dies without atexit)."""
    atexit.register(ending.shutdown)
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        # Back to the default first: a second SIGTERM ends the process at once.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            _shut_down_beside(ending)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, terminate)
