"""The accounts of the matrix: what is missing is explained, or reported."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.matrix.accounts import KEPT_S, Account, Killed, account
from tests.matrix.load import Answer
from tests.matrix.sink import Arrived

PID = 7


class _Load:
    """Ten requests, answered by one process in ten seconds."""

    def __init__(self) -> None:
        self.answers = {number: Answer(PID, 100.0 + number) for number in range(10)}
        self.unanswered: set[int] = set()


def _arrived(numbers: range, **changes: Any) -> dict[int, Arrived]:
    counts = Counter(numbers)
    given: dict[str, Any] = {"instances": {"a"}, "durations": len(numbers), **changes}
    return {PID: Arrived(counts.copy(), counts.copy(), counts.copy(), **given)}


def _account(
    came: dict[int, Arrived], said: str = "", killed: Killed | None = None, away_since: float | None = None
) -> Account:
    load: Any = _Load()
    return account(load, came, said, {PID: killed} if killed else {}, away_since)


def test_what_is_missing_without_a_word_is_unexplained() -> None:
    found = _account(_arrived(range(8)))
    assert found.unexplained == {"spans": 2, "log records": 4, "metric data points": 2}


def test_what_the_last_line_counts_is_explained() -> None:
    line = "7|WARNING|otelflask|otelflask: telemetry is not sent: http://x did not accept it in time "
    all_signals = f"{line}(spans: 1, log records: 4, metric data points: 9)"
    assert _account(_arrived(range(8)), all_signals).unexplained["metric data points"] == 2
    found = _account(_arrived(range(8)), all_signals, away_since=109.5)
    assert found.counted == {"spans": 1, "log records": 4, "metric data points": 2}
    assert found.unexplained == {"spans": 1, "log records": 0, "metric data points": 0}
    found = _account(_arrived(range(8)), f"{line}(spans: 1); the process dropped before its end (spans by x: 1)")
    assert found.unexplained["spans"] == 0


def test_what_the_metrics_count_is_explained() -> None:
    found = _account(_arrived(range(8), durations=10, dropped=Counter({"spans": 2, "log records": 3})))
    assert found.unexplained == {"spans": 0, "log records": 1, "metric data points": 0}


def test_a_process_that_was_killed_explains_what_it_recorded_before() -> None:
    killed = Killed(107.5 + KEPT_S)
    assert not sum(_account(_arrived(range(8)), killed=killed).unexplained.values())
    assert _account(_arrived(range(5)), killed=killed).unexplained["spans"] == 3
    away = Killed(killed.at, away_since=104.5 + KEPT_S)
    assert not sum(_account(_arrived(range(5)), killed=away).unexplained.values())


def test_what_came_twice_or_from_processes_with_one_id_is_wrong() -> None:
    twice = _arrived(range(10))
    twice[PID].spans[3] += 1
    assert _account(twice).wrong == ["1 spans came twice"]
    shared = {**_arrived(range(10)), 8: Arrived(instances={"a"})}
    assert _account(shared).wrong == ["2 processes share an instance id"]
    assert _account(_arrived(range(10), dropped=Counter({"spans": 99}))).wrong[0].startswith("7 counts 59 spans")
