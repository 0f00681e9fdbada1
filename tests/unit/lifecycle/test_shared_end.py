"""A process and those that it has forked end within one timeout."""

from __future__ import annotations

import os
import time

import pytest

from otelflask._internal.lifecycle.shared_end import LEAST_S, SAME_END_S, SharedEnd


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test sets."""
    times = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: times[0])
    return times


def test_a_process_alone_has_the_whole_timeout(now: list[float]) -> None:
    assert SharedEnd().seconds(5.0) == 5.0


@pytest.mark.parametrize(("took", "left"), [(0.0, 5.0), (2.0, 3.0), (5.0, LEAST_S)])
def test_what_a_forked_worker_has_used_its_parent_has_not(now: list[float], took: float, left: float) -> None:
    end = SharedEnd()
    began, now[0] = now[0], now[0] + took
    note_in_child(end, began)
    assert end.seconds(5.0) == left


def note_in_child(end: SharedEnd, began: float) -> None:
    child = os.fork()
    if child == 0:
        end.note(began)
        os._exit(0)
    os.waitpid(child, 0)


def test_the_first_of_several_workers_counts(now: list[float]) -> None:
    end = SharedEnd()
    for began in (now[0] - 4.0, now[0] - 1.0):
        note_in_child(end, began)
    assert end.seconds(5.0) == 1.0


def test_the_end_of_a_worker_long_ago_counts_for_nothing(now: list[float]) -> None:
    end = SharedEnd()
    note_in_child(end, now[0] - 5.0)
    now[0] += SAME_END_S + 0.1
    assert end.seconds(5.0) == 5.0


def test_a_worker_does_not_hurry_for_another(now: list[float]) -> None:
    end = SharedEnd()
    end.note(now[0] - 5.0)
    assert end.seconds(5.0) == 5.0


def test_no_process_has_more_than_the_timeout(now: list[float]) -> None:
    end = SharedEnd()
    note_in_child(end, now[0] - 5.0)
    assert end.seconds(0.1) == 0.1
