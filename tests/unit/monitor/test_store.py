"""The file that the workers share."""

from __future__ import annotations

from pathlib import Path

import pytest

from otelflask.monitor.encoding import Entry, Request
from otelflask.monitor.store import MonitorStore


def _row(number: int, status: int = 200) -> tuple[Entry, Request]:
    trace_id = f"{number:032x}"
    return (
        Entry("span", trace_id, number, 1_000, "GET /x", "", 0, f'{{"number": {number}}}'),
        Request(trace_id, number, 1_000, "GET", "/x", "/x", status, 0, 0.0, "", ""),
    )


@pytest.fixture
def store(tmp_path: Path) -> MonitorStore:
    return MonitorStore(str(tmp_path), "shop", 10**9, requests=100)


def test_rows_of_several_workers_are_one_list(tmp_path: Path, store: MonitorStore) -> None:
    other = MonitorStore(str(tmp_path), "shop", 10**9, requests=100)
    store.write([_row(1)], pid=1)
    other.write([_row(2)], pid=2)
    assert [row["pid"] for row in store.requests()] == [2, 1]


def test_a_row_that_comes_twice_is_there_once(store: MonitorStore) -> None:
    store.write([_row(1)], pid=1)
    store.write([_row(1)], pid=1)
    assert len(store.requests()) == 1
    assert len(store.trace(f"{1:032x}")) == 1


def test_ordinary_requests_go_before_those_that_failed(store: MonitorStore) -> None:
    store.write([_row(number, 500 if number <= 10 else 200) for number in range(1, 301)], pid=1)
    kept = [row["status"] for row in store.requests(limit=1_000)]
    assert len(kept) == 100
    assert kept.count(500) == 10
    assert store.trace(f"{11:032x}") == []


def test_the_file_is_this_users_alone(tmp_path: Path, store: MonitorStore) -> None:
    store.write([_row(1)], pid=1)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("*.sqlite3")} == {0}
