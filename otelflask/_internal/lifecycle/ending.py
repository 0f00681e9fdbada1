"""The end of a process: telemetry is sent before it, and never delays it for long."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol

from otelflask._internal.compat import uvicorn, uwsgi
from otelflask._internal.lifecycle import event_loop, greenlets, hurry
from otelflask._internal.lifecycle.blocked_signals import signals_blocked

#: Seconds beyond `shutdown_timeout` after which an end that hangs is abandoned.
END_S = 1.0
#: Seconds that requests have which are being answered at SIGTERM.
REQUESTS_S = 0.25
#: Seconds that a process has which a request may have forked, and waits for.
FORKED_END_S = 1.0
#: Seconds that are left to what waits after one of the signals that end processes.
HURRY_S = 1.0
#: Seconds after these in which what is left is counted, and the end comes whatever hangs.
COUNT_S = 0.5
_ENDING_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


class Ending(Protocol):
    """Anything that must be shut down with the process. `shutdown_timeout` is in seconds."""

    @property
    def shutdown_timeout(self) -> float: ...

    @property
    def is_serving(self) -> bool:
        """Whether a request is being answered."""
        ...

    def shutdown(self, timeout: float | None = None) -> None: ...


class _Joinable(Protocol):
    def join(self) -> object: ...


def _shut_down_in_thread(ending: Ending) -> None:
    """Shut down in another thread: the signal may have stopped this one while it holds a lock that is needed."""
    thread = threading.Thread(target=_shut_down_after_requests, args=(ending,), name="otelflask-end", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # No more threads.
        ending.shutdown()
    else:
        thread.join(ending.shutdown_timeout + END_S)


def _shut_down_after_requests(ending: Ending) -> None:
    """Shut down when no request is being answered, or soon: a client has its answer before the request is recorded."""
    deadline = time.monotonic() + REQUESTS_S
    while ending.is_serving and time.monotonic() < deadline:
        time.sleep(0.01)
    ending.shutdown()


#: The handler of SIGTERM that ends telemetry, in a process where nobody else handled it.
_terminates: Callable[[int, FrameType | None], None] | None = None
#: Ends the process, where SIGTERM lets the main thread go on.
_terminating: _Joinable | None = None
#: Whether the app had a handler before.
_is_sigterm_the_apps = False
#: What `register` has, without `unregister`.
_registered: weakref.WeakSet[Ending] = weakref.WeakSet()


def register_in_children() -> None:
    """Shut down at the end of processes of `multiprocessing`, which have no atexit (granian's workers are such).

    To be called once, where a process uses `multiprocessing`.
    """
    from multiprocessing import process, util

    # It is called in a forked child after what was registered in the parent is forgotten.
    util.register_after_fork(_registered, functools.partial(_finalize, FORKED_END_S))
    if process.parent_process() is not None:
        _finalize(None, _registered)


def _finalize(timeout: float | None, endings: weakref.WeakSet[Ending]) -> None:
    from multiprocessing import util

    # Below zero: after this process has waited for its own children.
    util.Finalize(None, _shut_down_all, (timeout, endings), exitpriority=-1)


def _shut_down_all(timeout: float | None, endings: weakref.WeakSet[Ending]) -> None:
    if _terminating is not None:
        # The main thread has ended meanwhile.
        _terminating.join()
    # uWSGI's handlers are in C, and call `exit`, in any thread that has not blocked the signal. A second call ends the
    # process amid `atexit`. A worker gets a second signal where its whole process group gets the first one: from the
    # terminal or from systemd, and then from the master (``core/uwsgi.c``: ``end_me``, ``gracefully_kill``).
    with signals_blocked() if uwsgi.is_running() else _hurrying_at_signals():
        for ending in list(endings):
            ending.shutdown(timeout)


class _Interrupted(BaseException):
    """The time is over that a signal has left to what is sent at the end of the process."""


@contextlib.contextmanager
def _hurrying_at_signals() -> Iterator[None]:
    """Have a signal that ends processes leave `HURRY_S` to what waits, so that it counts what is left.

    Parents of workers send more of them while these end: uvicorn's and gunicorn's after a Ctrl+C for all, and
    hypercorn's two when the first of its workers has ended. Handlers of servers raise exceptions, or do nothing.
    """
    # A handler that a server has installed in C is None.
    before = {number: signal.getsignal(number) for number in _ENDING_SIGNALS}
    before = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    if not _is_main_thread() or not before or greenlets.are_threads():
        yield
        return
    came: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise _Interrupted

    def has_come(number: int, frame: FrameType | None) -> None:
        if not came:
            # No thread can be started any more.
            signal.signal(signal.SIGALRM, interrupt)
        came.append(number)
        _hurry()

    for number in before:
        signal.signal(number, has_come)
    try:
        yield
    except _Interrupted:
        # Something hangs that does not hurry.
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is _terminates else handler)
    if hurry.is_over() and signal.SIGTERM in came:
        _end_now()


def _start(function: Callable[[], object]) -> _Joinable:
    if greenlets.are_threads():
        greenlet: _Joinable = greenlets.spawn(function)
        return greenlet
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def _end_by_alarm(ending: Ending) -> None:
    try:
        _shut_down_in_thread(ending)
    finally:
        os.kill(os.getpid(), signal.SIGALRM)


def _hurry(number: int = 0, frame: FrameType | None = None) -> None:
    """Leave `HURRY_S` to what is sent, however many signals come. What is left then is counted."""
    if not signal.getitimer(signal.ITIMER_REAL)[0]:
        hurry.leave(HURRY_S)
        signal.setitimer(signal.ITIMER_REAL, HURRY_S + COUNT_S)


def _end_now(number: int = 0, frame: FrameType | None = None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _is_main_thread() -> bool:
    """Whether this thread may handle signals."""
    return threading.current_thread() is threading.main_thread()


def is_sigterm_handled() -> bool:
    """Whether something has handled SIGTERM since before telemetry started: a handler of the app, or ours."""
    return _terminates is not None or _is_sigterm_the_apps


def unregister(ending: Ending) -> None:
    """Undo `register`, after a shutdown before the process's end."""
    _registered.discard(ending)


def register(ending: Ending) -> None:
    """Shut down at exit, and at SIGTERM where nobody else handles it (``flask run`` dies without atexit)."""
    global _terminates, _is_sigterm_the_apps
    if not _registered:
        # After what is registered later, which may still record something.
        atexit.unregister(_shut_down_all)
        atexit.register(_shut_down_all, None, _registered)
    _registered.add(ending)
    if not _is_main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL:
        # uvicorn's is there only while it serves.
        _is_sigterm_the_apps = not uvicorn.is_own(before)
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        global _terminating
        # A timer of the app would end the process.
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, _end_now)
        signal.signal(signal.SIGTERM, _hurry)
        end = functools.partial(_end_by_alarm, ending)
        if greenlets.are_threads() or event_loop.is_running():
            # Let it go on: requests in other threads wait for the loop, and the greenlet that the signal stops may hold
            # a lock that is needed, or be gevent's hub, which must not wait.
            _terminating = _start(end)
        else:
            end()

    signal.signal(signal.SIGTERM, terminate)
    _terminates = terminate
