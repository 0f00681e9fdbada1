"""A thread that repeats one task: when it is woken, and at times that the task gives.

Export queues, the collection of metrics, mail, counts of error groups, the metrics page, the live
page and plans of slow statements each have one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.context import Context

from otelflask._internal import guard
from otelflask._internal.compat import uwsgi
from otelflask._internal.compat.otel_api import SUPPRESS_INSTRUMENTATION_KEY, attach, detach
from otelflask._internal.lifecycle import forks, greenlets
from otelflask._internal.lifecycle.blocked_signals import block_signals

#: Seconds until a task that raised is tried again.
AFTER_ERROR_S = 60.0


class BackgroundTask:
    """One task and its thread, which starts on first use. The thread's work is not traced.

    Args:
        name: The thread's name after ``otelflask-``.
        work: The task. It returns the seconds until it is due again. With None the thread ends, and
            the next `wake` starts another.
        begin_after: Seconds until a new thread begins, unless it is woken.
        work_at_end: Whether the task runs once more when the worker is closed.
    """

    def __init__(
        self, name: str, work: Callable[[], float | None], begin_after: float = 0.0, work_at_end: bool = True
    ) -> None:
        self._name = name
        self._work = work
        self._begin_after = begin_after
        self._work_at_end = work_at_end
        #: What runs the task under gevent. It goes on in a forked child.
        self._greenlet: Any = None
        self._reset()

    def after_fork(self, start: bool = False) -> None:
        """Forget the parent's thread.

        Args:
            start: Whether to start another one.
        """
        greenlets.end(self._greenlet)
        self._greenlet = None
        self._reset()
        if not start:
            return
        if greenlets.are_threads():
            # To start a greenlet's thread is to wait, and other greenlets of the parent would go on within the fork.
            greenlets.spawn(self.start)
        else:
            self.start()

    def _reset(self) -> None:
        self.thread: threading.Thread | None = None
        #: The deadline of a closed worker, in time.monotonic seconds; None while it is open.
        self.closing_at: float | None = None
        # Re-entrant: a signal handler may interrupt any thread and wake another worker.
        self._changed = threading.Condition()
        self._woken = False
        self._wanted = 0
        self._done = 0

    def start(self) -> bool:
        """Start the thread, unless it runs, or this process may start none.

        Returns:
            Whether it runs now.
        """
        if not forks.may_start_threads():
            return False
        with self._changed:
            if self.thread is not None:
                return True
            thread = self.thread = threading.Thread(target=self._run, name=f"otelflask-{self._name}", daemon=True)
        # It is no part of the request that is the first to need it.
        token = attach(Context())
        try:
            # Without the lock: under gevent a waiting greenlet would hold it.
            thread.start()
        except RuntimeError as error:
            # No more threads, or the interpreter ends. The next caller tries again.
            self.thread = None
            guard.log(f"thread:{self._name}", "the thread for %s cannot start; its work waits: %s", self._name, error)
            return False
        finally:
            detach(token)
        return True

    def wake(self) -> None:
        """Run the task now."""
        with self._changed:
            self._woken = True
            self._notify()
        if self.thread is None:
            self.start()

    def _notify(self) -> None:
        # Python 3.10 releases a waiter twice where a signal handler has released it meanwhile.
        with contextlib.suppress(RuntimeError):
            self._changed.notify_all()

    def _run(self) -> None:
        if uwsgi.is_running() and not greenlets.are_threads():
            block_signals()
        token = attach(Context({SUPPRESS_INSTRUMENTATION_KEY: True}))
        self._greenlet = greenlets.current()
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
            detach(token)
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
        with guard.log_errors(f"work:{self._name}", "the background task %s failed, and will run again", self._name):
            return self._work()
        return AFTER_ERROR_S

    def flush(self, timeout: float) -> bool:
        """Run the task now, from its beginning.

        Args:
            timeout: Seconds to wait.

        Returns:
            Whether it was done in time.
        """
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
        """Wait within a task. Closing the worker ends the wait.

        Returns:
            The seconds that are left.
        """
        end = time.monotonic() + seconds
        with self._changed:
            self._changed.wait_for(lambda: self.closing_at is not None, seconds)
        return max(0.0, end - time.monotonic())

    def remaining(self) -> float:
        """Seconds until the deadline of a closed worker; infinite while it is open."""
        return float("inf") if self.closing_at is None else self.closing_at - time.monotonic()

    def begin_close(self, deadline: float) -> None:
        """Finish the rest until `deadline` (time.monotonic seconds), and accept no more."""
        with self._changed:
            if self.closing_at is None:
                self.closing_at = deadline
            self._notify()

    def join(self, deadline: float) -> bool:
        """Wait for the thread until `deadline` (time.monotonic seconds).

        Returns:
            Whether it has ended.
        """
        thread = self.thread
        if thread is None or thread.ident is None:
            return True
        thread.join(max(0.0, deadline - time.monotonic()))
        return not thread.is_alive()
