"""The workers' shared file: what is kept in it, and its queries."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest

from otelflask._internal.live_page.collect import store as stores
from otelflask._internal.live_page.collect.file import MonitorFile
from otelflask._internal.live_page.collect.rows import Entry, Request
from otelflask._internal.live_page.collect.store import MonitorStore
from otelflask._internal.live_page.collect.time_series import Slot
from otelflask._internal.live_page.collect.worker_stats import WorkerStat
from otelflask._internal.live_page.show.repository import IdRange, Repository
from otelflask._internal.settings import SettingError
from otelflask._internal.shared_folder import SharedFolder


def _line(number: int, body: str = "") -> tuple[Entry, None]:
    return Entry("log", "", number, 0, "", "", 0, 9, f'{{"number": {number}, "of": "{body}"}}'), None


def _row(number: int, status: int = 200, body: str = "", trace: int = 0) -> tuple[Entry, Request]:
    trace_id = f"{trace or number:032x}"
    return (
        Entry("span", trace_id, number, 1_000, "", "", 0, 0, f'{{"number": {number}, "of": "{body}"}}'),
        Request(trace_id, f"{number:016x}", number, 1_000, "GET", "/x", f"/x/{number}", status, 0, 0.0, "", "", ""),
    )


@pytest.fixture
def store(tmp_path: Path) -> MonitorStore:
    return MonitorStore(MonitorFile(SharedFolder(tmp_path), "shop"), 10**9, requests=100)


@pytest.fixture
def repository(store: MonitorStore) -> Repository:
    return Repository(store.file)


def test_rows_of_several_workers_are_one_list(tmp_path: Path, store: MonitorStore, repository: Repository) -> None:
    other = MonitorStore(MonitorFile(SharedFolder(tmp_path), "shop"), 10**9, requests=100)
    store.write([_row(1)], pid=1)
    other.write([_row(2)], pid=2)
    assert [row["pid"] for row in repository.requests(IdRange()).rows] == [2, 1]


def test_requests_of_one_trace_are_all_there_and_it_goes_with_the_last(
    store: MonitorStore, repository: Repository
) -> None:
    store.write([_row(number, trace=7) for number in range(1, 4)], pid=1)
    assert repository.requests(IdRange()).total == 3
    store.write([_row(number) for number in range(10, 108)], pid=1)
    assert [row["trace_id"] for row in repository.requests(IdRange(limit=1_000)).rows][-2:] == [f"{7:032x}"] * 2
    assert len(repository.trace(f"{7:032x}")) == 3


def test_equal_lines_of_one_moment_are_all_there(store: MonitorStore) -> None:
    store.write([_line(1), _line(1), _line(1)], pid=1)
    assert store.file.ask("SELECT count(*) FROM entries") == [(3,)]


def test_ordinary_requests_go_before_those_that_failed(store: MonitorStore, repository: Repository) -> None:
    store.write([_row(number, 500 if number <= 10 else 200) for number in range(1, 301)], pid=1)
    kept = [row["status"] for row in repository.requests(IdRange(limit=1_000)).rows]
    assert len(kept) == 100
    assert kept.count(500) == 10
    assert repository.trace(f"{11:032x}") == []


def test_lines_that_belong_to_no_request_are_bounded_too(store: MonitorStore) -> None:
    for first in range(0, 1_000, 50):
        store.write([_line(number) for number in range(first, first + 50)], pid=1)
    ((count,),) = store.file.ask("SELECT count(*) FROM entries")
    assert count <= 150


def test_bytes_are_bounded_as_well_as_rows(
    store: MonitorStore, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "MAX_BYTES", 400_000)
    for number in range(1, 91):
        store.write([_row(number, body=10_000 * "x")], pid=1)
    assert 0 < repository.requests(IdRange()).total < 60
    assert repository.trace(f"{90:032x}") != []


def test_lines_outside_of_requests_go_before_any_request(
    store: MonitorStore, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "MAX_BYTES", 1_000_000)
    store.write([_row(number) for number in range(1, 91)], pid=1)
    for number in range(0, 300):
        store.write([_line(number, body=20_000 * "x")], pid=1)
    assert repository.requests(IdRange()).total == 90
    ((used,),) = store.file.ask("SELECT sum(length(body)) FROM entries")
    assert used < 2_000_000


def test_a_window_is_what_lies_between_two_rows_and_the_total_is_of_all(
    store: MonitorStore, repository: Repository
) -> None:
    store.write([_row(number) for number in range(1, 21)], pid=1)
    found = repository.requests(IdRange(after=5, before=10))
    assert [row["id"] for row in found.rows] == [9, 8, 7, 6]
    assert found.total == 20
    assert [row["id"] for row in repository.requests(IdRange(limit=3)).rows] == [20, 19, 18]


def test_numbers_of_several_workers_are_added_up(store: MonitorStore, repository: Repository) -> None:
    vital = WorkerStat(0.5, 1_000, 1, 2, 3)
    store.write_numbers([(7, "/x", Slot(2, 1, 0.5, Counter({-10: 2})))], [(7, vital)], "1", 75.0)
    store.write_numbers([(7, "/x", Slot(1, 0, 0.5, Counter({-10: 1, 3: 0})))], [(7, vital)], "2", 75.0)
    ((_, _, slot),) = repository.route_slots(6)
    assert (slot.count, slot.failed, slot.buckets[-10]) == (3, 1, 3)
    assert repository.worker_stats(7) == [("1", 7, vital), ("2", 7, vital)]


def test_workers_that_are_gone_are_forgotten(store: MonitorStore, repository: Repository) -> None:
    store.write_process({"pid": 1}, "1", 1_000.0)
    store.write_process({"pid": 2}, "2", 1_050.0)
    assert [row["pid"] for row in repository.processes(0)] == [1, 2]
    store.write_process({"pid": 3}, "3", 1_100.0)
    assert [row["pid"] for row in repository.processes(0)] == [2, 3]


def test_slots_of_a_clock_that_was_put_back_are_forgotten(store: MonitorStore, repository: Repository) -> None:
    vital = WorkerStat(0.5, 1_000, 1, 2, 3)
    store.write_numbers([(1_000, "/x", Slot(2))], [(1_000, vital)], "1", 10_005.0)
    store.write_numbers([(300, "/x", Slot(1))], [(300, vital)], "1", 3_005.0)
    assert [number for number, _, _ in repository.route_slots(0)] == [300]
    assert [number for _, number, _ in repository.worker_stats(0)] == [300]


def test_a_database_of_somebody_elses_at_its_place_is_left_alone(tmp_path: Path, store: MonitorStore) -> None:
    other = tmp_path / "victim"
    other.write_bytes(b"")
    other.chmod(0o644)
    Path(store.file.path).symlink_to(other)
    with pytest.raises(OSError):
        store.write([_row(1)], pid=1)
    assert (other.stat().st_size, other.stat().st_mode & 0o777) == (0, 0o644)


def test_a_folder_that_others_can_write_is_not_used_whoever_seems_to_have_looked(
    tmp_path: Path, store: MonitorStore
) -> None:
    Path(f"{store.file.path}.viewer").touch()
    tmp_path.chmod(0o777)
    with pytest.raises(SettingError):
        store.write([_row(1)], pid=1)
    assert not Path(store.file.path).exists()


def test_a_damaged_file_is_made_anew(tmp_path: Path, repository: Repository) -> None:
    Path(repository.file.path).write_bytes(b"no database" * 1_000)
    store = MonitorStore(repository.file, 10**9)
    store.write([_row(1)], pid=1)
    assert repository.requests(IdRange()).total == 1


def test_the_file_is_this_users_alone(tmp_path: Path, store: MonitorStore) -> None:
    store.write([_row(1)], pid=1)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("*.sqlite3")} == {0}


def test_what_a_server_has_left_that_is_gone_is_removed_by_the_next(tmp_path: Path, store: MonitorStore) -> None:
    # No process has this number and began then.
    gone = tmp_path / "monitor-0123456789abcdef-1-999999999999.sqlite3"
    just_now = tmp_path / "monitor-0123456789abcdef-1-999999999998.sqlite3"
    for path in (gone, Path(f"{gone}-wal"), Path(f"{gone}.viewer"), just_now):
        path.touch()
        os.utime(path, (time.time() - 120,) * 2)
    Path(f"{just_now}.viewer").touch()
    store.write([_row(1)], pid=1)
    assert {path for path in tmp_path.iterdir() if "0123456789abcdef" in path.name} == {
        just_now,
        Path(f"{just_now}.viewer"),
    }


def test_a_file_that_is_damaged_while_it_is_used_is_made_anew(
    tmp_path: Path, store: MonitorStore, repository: Repository
) -> None:
    store.write([_row(number, body=1_000 * "x") for number in range(50)], pid=1)
    store.file.ask("PRAGMA wal_checkpoint(TRUNCATE)")
    with open(store.file.path, "r+b") as file:
        # Behind the tables' names, which are read when it is opened.
        file.seek(8_192)
        file.write(b"\xff" * 200_000)
    other = MonitorStore(MonitorFile(SharedFolder(tmp_path), "shop"), 10**9)
    with pytest.raises(sqlite3.DatabaseError):
        other.write([_row(60)], pid=1)
    other.write([_row(99)], pid=1)
    assert [row["path"] for row in repository.requests(IdRange()).rows] == ["/x/99"]


def test_a_file_that_was_removed_is_made_anew_and_has_another_era(store: MonitorStore, repository: Repository) -> None:
    store.write([_row(1)], pid=1)
    era = store.file.generation
    for path in (store.file.path, f"{store.file.path}-wal", f"{store.file.path}-shm"):
        Path(path).unlink(missing_ok=True)
    store.write([_row(2)], pid=1)
    assert [row["path"] for row in repository.requests(IdRange()).rows] == ["/x/2"]
    assert store.file.generation != era
