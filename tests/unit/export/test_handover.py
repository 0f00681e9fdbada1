"""What is handed over gets its views, whoever makes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from otelflask._internal.export import handover as module
from otelflask._internal.export.handover import Handover


@pytest.fixture
def handover() -> Iterator[Handover]:
    made = Handover()
    yield made
    made.close()


def _without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def _none_is_lost(item: Any, error: Exception) -> None:
    raise AssertionError(item) from error


def test_a_thread_makes_the_views_in_order(handover: Handover, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    seen: list[tuple[int, str]] = []
    kind = handover.add_view(lambda item: seen.append((item[1], threading.current_thread().name)), _none_is_lost)
    for n in range(200):
        handover.append((kind, n))
    end = time.monotonic() + 30
    while len(seen) < 200 and time.monotonic() < end:
        time.sleep(0.01)
    assert seen == [(n, "otelflask-handover") for n in range(200)]


def test_each_kind_has_its_view(handover: Handover) -> None:
    numbers: list[int] = []
    texts: list[str] = []
    of_numbers = handover.add_view(lambda item: numbers.append(item[1]), _none_is_lost)
    of_texts = handover.add_view(lambda item: texts.append(item[1]), _none_is_lost)
    handover.append((of_numbers, 1))
    handover.append((of_texts, "one"))
    handover.drain()
    assert (numbers, texts) == ([1], ["one"])


def test_the_apps_threads_help_where_the_exporting_thread_does_not_run(
    handover: Handover, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_threads(monkeypatch)
    seen: list[int] = []
    kind = handover.add_view(lambda item: seen.append(item[1]), _none_is_lost)
    count = 3 * module.CAPACITY
    for n in range(count):
        handover.append((kind, n))
        assert len(handover) <= module.CAPACITY
    handover.drain()
    assert seen == list(range(count))


def test_a_view_that_raises_costs_one_item_which_is_counted(handover: Handover) -> None:
    seen: list[int] = []
    lost: list[tuple[int, str]] = []

    def view(item: tuple[int, int]) -> None:
        if item[1] == 1:
            raise ValueError("one")
        seen.append(item[1])

    kind = handover.add_view(view, lambda item, error: lost.append((item[1], str(error))))
    for n in range(3):
        handover.append((kind, n))
    handover.drain()
    assert seen == [0, 2]
    assert lost == [(1, "one")]


def test_what_comes_after_the_end_gets_its_view_at_once(handover: Handover) -> None:
    seen: list[int] = []
    kind = handover.add_view(lambda item: seen.append(item[1]), _none_is_lost)
    handover.append((kind, 1))
    handover.close()
    assert seen == [1]
    handover.append((kind, 2))
    assert seen == [1, 2]


def test_a_forked_child_has_nothing_of_its_parents(handover: Handover, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_threads(monkeypatch)
    seen: list[int] = []
    kind = handover.add_view(lambda item: seen.append(item[1]), _none_is_lost)
    handover.append((kind, 1))
    handover.after_fork()
    handover.append((kind, 2))
    handover.drain()
    assert seen == [2]


def test_a_view_may_hand_over_more(handover: Handover) -> None:
    seen: list[int] = []

    def view(item: tuple[int, int]) -> None:
        seen.append(item[1])
        if item[1] < 3:
            handover.append((kind, item[1] + 1))

    kind = handover.add_view(view, _none_is_lost)
    handover.append((kind, 1))
    for _ in range(3):
        handover.drain()
    assert seen == [1, 2, 3]
