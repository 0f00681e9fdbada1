"""Block the signals that end a process, in one thread."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


def block_signals() -> set[int | signal.Signals]:
    """Block the signals that end a process, in this thread.

    Returns:
        What was blocked before.
    """
    return signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Block these signals for a while. They come afterwards."""
    before = block_signals()
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
