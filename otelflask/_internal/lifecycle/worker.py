"""A thread that does one piece of work again and again: when it is woken, and as often as the work says.

Export queues, the collection of metrics, mails, counts of error groups, the
metrics page, the live page and plans of slow statements each have one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from opentelemetry import context as context_api

from otelflask._internal import guard
from otelflask._internal.compat.otel_api import SUPPRESS_INSTRUMENTATION_KEY

#: Seconds until a piece of work that raised, and so did not say when it is due again, is tried again.
AFTER_ERROR_S = 60.0


class Worker:
    """One piece of work and its thread, which starts when it is first needed. Nothing of it is traced.

    In: the thread's name, after ``otelflask-``; the work, which returns after
    how many seconds it is due again, or None where there is nothing left to
    do: the thread ends then, and the next `wake` starts another; seconds until
    a new thread begins unless it is woken; and whether the work is done once
    more when it is closed.
    """

    def __init__(
        self, name: str, work: Callable[[], float | None], begin_after: float = 0.0, work_at_end: bool = True
    ) -> None:
        self._name = name
        self._work = work
        self._begin_after = begin_after
        self._work_at_end = work_at_end
        self.after_fork()

    def after_fork(self) -> None:
        """The parent's thread is the parent's."""
        self.thread: threading.Thread | None = None
        #: time.monotonic seconds by which all has to be done; None while it goes on.
        self.closing_at: float | None = None
        # Re-entrant: a signal's handler may interrupt any thread, and wake another's work.
        self._changed = threading.Condition()
        self._woken = False
        self._wanted = 0
        self._done = 0

    def start(self) -> bool:
        """Start the thread where there is none. Out: whether there is one now."""
        with self._changed:
            if self.thread is not None:
                return True
            thread = self.thread = threading.Thread(target=self._run, name=f"otelflask-{self._name}", daemon=True)
        try:
            # Not while the lock is held: under gevent it would be held by a greenlet that waits.
            thread.start()
        except RuntimeError as error:
            # No more threads, or the interpreter ends: the next one who needs it tries again.
            self.thread = None
            guard.say(f"thread:{self._name}", "%s wait: %s", self._name, error)
            return False
        return True

    def wake(self) -> None:
        """There is work: do it now."""
        with self._changed:
            self._woken = True
            self._notify()
        if self.thread is None:
            self.start()

    def _notify(self) -> None:
        # Python 3.10 releases a waiter twice where a signal's handler has done it meanwhile.
        with contextlib.suppress(RuntimeError):
            self._changed.notify_all()

    def _run(self) -> None:
        token = context_api.attach(context_api.set_value(SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            pause: float | None = self._begin_after
            while pause is not None:
                with self._changed:
                    self._changed.wait_for(self._is_due, pause)
                    self._woken = False
                    wanted, is_last = self._wanted, self.closing_at is not None
                if is_last and not self._work_at_end:
                    return
                pause = self._do()
                with self._changed:
                    self._done = wanted
                    self._notify()
                    if is_last:
                        return
                    if pause is None and self._is_due():
                        pause = 0.0
                    if pause is None:
                        self.thread = None
        finally:
            context_api.detach(token)
            with self._changed:
                if self.closing_at is not None:
                    # Nobody will do more.
                    self._done = self._wanted
                if self.thread is threading.current_thread():
                    self.thread = None
                self._notify()

    def _is_due(self) -> bool:
        return self._woken or self.closing_at is not None

    def _do(self) -> float | None:
        with guard.saying(f"work:{self._name}", "%s: a piece of work failed, and is tried again", self._name):
            return self._work()
        return AFTER_ERROR_S

    def flush(self, timeout: float) -> bool:
        """Do the work now, from its beginning. In: seconds to wait. Out: whether it was done in time."""
        end = time.monotonic() + timeout
        with self._changed:
            self._wanted += 1
            wanted = self._wanted
        self.wake()
        with self._changed:
            self._changed.wait_for(
                lambda: self._done >= wanted or self.thread is None, max(0.0, end - time.monotonic())
            )
            return self._done >= wanted or (self.thread is None and self.closing_at is not None)

    def pause(self, seconds: float) -> float:
        """Wait in the middle of a piece of work; being closed ends the wait. Out: the seconds that are left."""
        end = time.monotonic() + seconds
        with self._changed:
            self._changed.wait_for(lambda: self.closing_at is not None, seconds)
        return max(0.0, end - time.monotonic())

    def remaining(self) -> float:
        """Seconds until all has to be done; unlimited while it goes on."""
        return float("inf") if self.closing_at is None else self.closing_at - time.monotonic()

    def begin_close(self, deadline: float) -> None:
        """Do what is left until `deadline` (time.monotonic seconds), and no more."""
        with self._changed:
            if self.closing_at is None:
                self.closing_at = deadline
            self._notify()

    def join(self, deadline: float) -> bool:
        """Wait for the thread until `deadline`. Out: whether it has ended."""
        thread = self.thread
        if thread is None or thread.ident is None:
            return True
        thread.join(max(0.0, deadline - time.monotonic()))
        return not thread.is_alive()
