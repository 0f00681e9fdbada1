"""Exceptions that a signal handler has raised in the middle of other code.

They are meant for the app, wherever they come up: RQ asks its worker to stop by one, and the time
limits of Celery and RQ end a job by one.
"""

from __future__ import annotations

import inspect
import itertools
import signal
import threading
from types import FrameType

_NUMBERS = signal.valid_signals()
#: An integer of the app's own may do anything when it is compared.
_KINDS = (int, signal.Signals)


def has_raised(error: BaseException) -> bool:
    """Whether a signal handler has raised an exception. Python calls handlers in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        return False
    trace = error.__traceback__
    while trace is not None:
        if _is_handler(trace.tb_frame):
            return True
        trace = trace.tb_next
    return False


def _is_handler(frame: FrameType) -> bool:
    """Whether a function has a signal's number and a frame as its arguments, one after the other."""
    code = frame.f_code
    if code.co_argcount < 2 and not code.co_flags & inspect.CO_VARARGS:
        return False
    names, rest, _, found = inspect.getargvalues(frame)
    given = [found.get(name) for name in names]
    # The app may have given the name another value.
    if rest is not None and type(more := found.get(rest)) is tuple:
        given += more
    return any(
        type(current) is FrameType and type(number) in _KINDS and number in _NUMBERS
        for number, current in itertools.pairwise(given)
    )
