"""A worker's thread: it works when it is woken and when work is due, and ends when it is closed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from otelflask._internal.lifecycle.background_task import BackgroundTask


class Work:
    """Counts its runs. `pause` is when the next is due, and `held` keeps a run from ending."""

    def __init__(self, pause: float | None = 3_600.0) -> None:
        self.pause = pause
        self.done = 0
        self.traced: set[bool] = set()
        self.held = threading.Event()
        self.held.set()

    def __call__(self) -> float | None:
        self.held.wait(60)
        self.traced.add(is_instrumentation_enabled())
        self.done += 1
        return self.pause


def _until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def _ended(task: BackgroundTask) -> bool:
    task.begin_close(time.monotonic() + 60)
    return task.join(time.monotonic() + 60)


def test_nothing_runs_before_it_is_needed() -> None:
    assert BackgroundTask("test", Work()).thread is None


def test_it_works_when_it_is_woken_and_nothing_of_it_is_traced() -> None:
    work = Work()
    task = BackgroundTask("test", work, begin_after=3_600)
    task.wake()
    _until(lambda: work.done)
    assert work.traced == {False}
    assert _ended(task)


def test_it_works_again_after_as_long_as_the_work_says() -> None:
    work = Work(0.001)
    task = BackgroundTask("test", work)
    task.start()
    _until(lambda: work.done > 3)
    assert _ended(task)


def test_it_ends_where_there_is_nothing_left_to_do_and_starts_anew() -> None:
    work = Work(None)
    task = BackgroundTask("test", work)
    for number in (1, 2):
        assert task.flush(10)
        assert work.done == number
        _until(lambda: task.thread is None)


def test_a_flush_waits_for_a_piece_that_begins_after_it() -> None:
    work = Work()
    task = BackgroundTask("test", work)
    work.held.clear()
    task.start()
    assert not task.flush(0.05)
    work.held.set()
    assert task.flush(10)
    assert work.done >= 2
    assert _ended(task)


@pytest.mark.parametrize(("at_end", "done"), [(True, 1), (False, 0)])
def test_it_works_once_more_when_it_is_closed_where_it_should(at_end: bool, done: int) -> None:
    work = Work()
    task = BackgroundTask("test", work, begin_after=3_600, work_at_end=at_end)
    task.start()
    assert _ended(task)
    assert work.done == done


def test_what_raises_is_said_and_tried_again(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otelflask._internal.lifecycle.background_task.AFTER_ERROR_S", 0.001)
    tries = []

    def work() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("disk")

    task = BackgroundTask("test", work)
    task.start()
    _until(lambda: len(tries) == 3)
    assert "failed, and will run again" in caplog.text


def test_a_pause_within_the_work_ends_when_it_is_closed() -> None:
    left = []
    task = BackgroundTask("test", lambda: left.append(task.pause(60)))  # type: ignore[func-returns-value]
    task.start()
    _until(lambda: task.thread is not None and task.thread.is_alive())
    assert _ended(task)
    assert left[0] > 50


def test_a_forked_child_has_a_thread_of_its_own() -> None:
    work = Work()
    task = BackgroundTask("test", work)
    assert task.flush(10)
    pid = os.fork()
    if pid == 0:
        task.after_fork()
        os._exit(0 if task.flush(10) and work.done == 2 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert _ended(task)


def test_where_no_thread_can_be_had_it_is_said_and_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    work = Work()
    task = BackgroundTask("no threads", work)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert not task.start()
    assert "the thread for no threads cannot start; its work waits: can't start new thread" in caplog.text
    assert task.flush(10)
    assert _ended(task)


def test_a_signal_that_wakes_it_wherever_it_interrupts_is_heard() -> None:
    """A signal handler runs between any two instructions of the main thread, also of one that wakes or flushes."""
    work = Work()
    task = BackgroundTask("test", work)
    heard = []

    def wake(*_: object) -> None:
        task.wake()
        heard.append(1)

    before = signal.signal(signal.SIGALRM, wake)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        while len(heard) < 300:
            task.wake()
            assert task.flush(10)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert _ended(task)


def test_a_flush_does_not_wait_for_a_thread_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    begun = time.monotonic()
    assert not BackgroundTask("test", Work()).flush(60)
    assert time.monotonic() - begun < 30
