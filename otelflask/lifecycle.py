"""The parts of a process's telemetry, its forks and its end: what has to happen around everything else."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import weakref
from types import FrameType
from typing import Protocol

from otelflask import greenlets, guard

#: Seconds beyond `shutdown_timeout` after which an end that hangs is left.
END_S = 1.0


class Part:
    """One part of a process's telemetry; each method does nothing unless a part has something to do."""

    def after_fork(self) -> None:
        """A forked child is a process of its own: let go of the parent's threads, locks, counts and connections."""

    def flush(self, deadline: float) -> bool:
        """Say, or send, what waits. In: time.monotonic seconds. Out: whether all was tried in time."""
        return True


class Forkable(Protocol):
    """Something that has to be put right in a forked child."""

    def after_fork(self) -> None: ...


_forkables: list[weakref.ref[Forkable]] = []


def on_fork(item: Forkable) -> None:
    """Call ``item.after_fork()`` in every forked child from now on, in the order of registration; it is held weakly."""
    _forkables[:] = [reference for reference in _forkables if (known := reference()) is not None and known is not item]
    _forkables.append(weakref.ref(item))


def _after_fork() -> None:
    for reference in _forkables:
        item = reference()
        if item is not None:
            reset(item)


def reset(item: Forkable) -> None:
    """Put something right in a forked child, whatever that meets."""
    try:
        item.after_fork()
    except Exception:
        guard.say("fork", "telemetry could not be put right after a fork", exc_info=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


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
