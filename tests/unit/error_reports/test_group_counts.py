"""Counting a group's occurrences, and when the counts are reported."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from otelflask._internal.error_reports import group_counts
from otelflask._internal.error_reports.group_counts import GroupCounts
from otelflask._internal.testing.clock import FixedClock

Said = list[tuple[str, int]]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def said() -> Said:
    return []


@pytest.fixture
def occur(clock: FixedClock, said: Said) -> Callable[..., GroupCounts[str]]:
    counts: GroupCounts[str] = GroupCounts(
        2, lambda last, count, at: said.append((last, count)), lambda: clock.now / 1e9
    )

    def occurs(group: str, times: int = 1) -> GroupCounts[str]:
        for _ in range(times):
            if counts.admit(group):
                counts.reported(group, group)
        return counts

    return occurs


def test_the_first_of_a_minute_is_said_at_once_and_the_others_at_its_end(
    occur: Callable[..., GroupCounts[str]], clock: FixedClock, said: Said
) -> None:
    counts = occur("a", 5)
    assert said == [("a", 1)]
    clock.advance(61)
    counts.emit_ended()
    assert said == [("a", 1), ("a", 4)]


def test_a_group_that_goes_on_is_said_once_a_minute_and_one_that_ended_no_more(
    occur: Callable[..., GroupCounts[str]], clock: FixedClock, said: Said
) -> None:
    for _ in range(3):
        counts = occur("a", 5)
        clock.advance(61)
        counts.emit_ended()
    assert said == [("a", 1), ("a", 4), ("a", 5), ("a", 5)]
    clock.advance(61)
    assert counts.emit_ended() is None
    assert len(said) == 4


def test_the_number_that_goes_out_whole_is_a_groups_and_a_minutes(
    occur: Callable[..., GroupCounts[str]], clock: FixedClock
) -> None:
    counts = occur("b")
    assert [counts.admit("a") for _ in range(3)] == [True, True, False]
    assert counts.admit("b")
    clock.advance(61)
    counts.emit_ended()
    assert counts.admit("a")


def test_what_a_flush_says_is_not_said_again(
    occur: Callable[..., GroupCounts[str]], clock: FixedClock, said: Said
) -> None:
    counts = occur("a", 5)
    counts.flush()
    counts.flush()
    clock.advance(61)
    counts.emit_ended()
    assert said == [("a", 1), ("a", 4)]


def test_what_nobody_lets_out_is_no_occurrence(clock: FixedClock, said: Said) -> None:
    counts: GroupCounts[str] = GroupCounts(
        2, lambda last, count, at: said.append((last, count)), lambda: clock.now / 1e9
    )
    counts.admit("a")
    clock.advance(61)
    counts.emit_ended()
    assert said == []


def test_what_is_not_wanted_takes_nobodys_place(clock: FixedClock, said: Said) -> None:
    counts: GroupCounts[str] = GroupCounts(
        2, lambda last, count, at: said.append((last, count)), lambda: clock.now / 1e9
    )
    for _ in range(10):
        assert counts.admit("a")
        counts.dropped("a")
    assert counts.admit("a")


def test_an_error_that_interrupts_the_counting_is_counted_too(said: Said) -> None:
    # As in an app's `__del__` that logs when a collection runs within our code.
    interrupted = False

    def clock() -> float:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            with counts._lock:
                assert counts.admit("inner")
                counts.reported("inner", "inner")
        return 0.0

    counts: GroupCounts[str] = GroupCounts(2, lambda last, count, at: said.append((last, count)), clock)
    assert counts.admit("outer")
    counts.reported("outer", "outer")
    assert sorted(said) == [("inner", 1), ("outer", 1)]


def test_the_oldest_group_makes_room_and_is_said_first(
    occur: Callable[..., GroupCounts[str]], said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_counts, "MAX_GROUPS", 2)
    for group in ("a", "b", "c"):
        occur(group, 2)
    assert said == [("a", 1), ("b", 1), ("a", 1), ("c", 1)]


def test_a_forked_child_counts_for_itself(occur: Callable[..., GroupCounts[str]], said: Said) -> None:
    counts = occur("a", 5)
    counts.after_fork()
    counts.flush()
    assert said == [("a", 1)]
