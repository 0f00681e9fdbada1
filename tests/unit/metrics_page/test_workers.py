"""What several workers write to files, and what happens to a dead one's counts."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from otelflask._internal.metrics_page import workers
from otelflask._internal.metrics_page.snapshot import Series, Snapshot
from otelflask._internal.metrics_page.workers import SharedMetrics
from otelflask._internal.shared_folder import SharedFolder


def _snapshot(count: int, gauge: float = 0.0) -> Snapshot:
    values: dict[str, tuple[str, Any]] = {
        "requests": ("counter", count),
        "in_flight": ("up_down_counter", 1),
        "queue": ("gauge", gauge),
        "otelflask.health.check": ("gauge", int(gauge < 5)),
        "system.network.io": ("counter", 1_000 + count),
        "duration": ("histogram", [count, count * 0.5, count, 0]),
    }
    return {
        f"app {name}": Series("app", name, "", "", kind, [1.0] if kind == "histogram" else [], {"{}": value})
        for name, (kind, value) in values.items()
    }


def _value(snapshot: Snapshot, name: str) -> Any:
    return snapshot[f"app {name}"].points["{}"]


def _work(folder: str, count: int, gauge: float, told: Connection, ending: Connection) -> None:
    mine = SharedMetrics(SharedFolder(folder), "shop", lambda: _snapshot(count, gauge))
    mine.start()
    mine.write()
    told.send(os.getpid())
    ending.recv()


Worker = Callable[..., int]


@pytest.fixture
def worker(tmp_path: Path) -> Any:
    """Start another worker of the same server."""
    context = multiprocessing.get_context("fork")
    running = []

    def start(count: int, gauge: float = 0.0) -> Any:
        told, tell = context.Pipe(False)
        ended, end = context.Pipe(False)
        process = context.Process(target=_work, args=(str(tmp_path), count, gauge, tell, ended))
        process.start()
        told.recv()
        running.append((process, end))
        return process

    yield start
    for process, end in running:
        if process.is_alive():
            end.send(None)
        process.join(60)
        process.close()


@pytest.fixture
def mine(tmp_path: Path) -> SharedMetrics:
    mine = SharedMetrics(SharedFolder(tmp_path), "shop", lambda: _snapshot(1, 2.0))
    mine.start()
    return mine


@pytest.fixture(autouse=True)
def _family(monkeypatch: pytest.MonkeyPatch) -> None:
    # Processes that a test starts are children of this one, which counts as their sibling.
    monkeypatch.setattr(workers, "server_id", lambda: "one-server")


def test_each_answers_for_all(mine: SharedMetrics, worker: Worker) -> None:
    worker(10, 3.0)
    worker(100, 7.0)
    found = mine.all()
    assert _value(found, "requests") == 111
    assert _value(found, "duration") == [111, 55.5, 111, 0]
    assert _value(found, "in_flight") == 3


def test_a_gauge_is_the_largest_or_has_a_rule_of_its_own(mine: SharedMetrics, worker: Worker) -> None:
    worker(10, 7.0)
    found = mine.all()
    assert _value(found, "queue") == 7.0
    assert _value(found, "otelflask.health.check") == 0


def test_what_is_said_of_the_machine_is_not_added_up(mine: SharedMetrics, worker: Worker) -> None:
    worker(10)
    assert _value(mine.all(), "system.network.io") == 1_010


def test_a_killed_worker_keeps_what_it_counted_and_nothing_else(
    mine: SharedMetrics, worker: Any, tmp_path: Path
) -> None:
    process = worker(10, 7.0)
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    for _ in range(3):
        found = mine.all()
        assert _value(found, "requests") == 11
        assert _value(found, "duration")[0] == 11
        assert (_value(found, "in_flight"), _value(found, "queue")) == (1, 2.0)
    (folder,) = tmp_path.iterdir()
    assert {path.suffix for path in folder.iterdir() if path.name.startswith(f"{process.pid}-")} == set()


def test_a_crash_between_adding_up_and_removing_counts_nothing_twice(
    mine: SharedMetrics, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = worker(10)
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    with monkeypatch.context() as crashing:
        crashing.setattr(SharedMetrics, "_remove", lambda self, name: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            mine.all()
    assert _value(mine.all(), "requests") == 11
    assert _value(mine.all(), "requests") == 11


def test_while_another_scrape_goes_on_it_says_so_instead_of_counting_less(
    mine: SharedMetrics, worker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker(10)
    monkeypatch.setattr(workers, "LOCK_TIMEOUT_S", 0.2)
    (folder,) = tmp_path.iterdir()
    with open(folder / "lock", "wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError):
            mine.all()
    assert _value(mine.all(), "requests") == 11


def test_after_the_folder_was_removed_it_says_so_once_and_shares_again(
    mine: SharedMetrics, worker: Any, tmp_path: Path
) -> None:
    worker(10)
    (folder,) = tmp_path.iterdir()
    shutil.rmtree(folder)
    with pytest.raises(OSError, match="were removed"):
        mine.all()
    worker(100)
    assert _value(mine.all(), "requests") == 101


def test_a_signal_that_comes_while_metrics_are_collected_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LOCK_TIMEOUT_S", 0.2)

    def take() -> Snapshot:
        with pytest.raises(TimeoutError):
            interrupted.write()
        return _snapshot(1)

    interrupted = SharedMetrics(SharedFolder(tmp_path), "shop", take)
    interrupted.start()
    assert _value(interrupted.write(), "requests") == 1


def test_files_of_workers_that_are_gone_do_not_pile_up_where_nobody_scrapes(
    tmp_path: Path, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "INTERVAL_S", 0.05)
    monkeypatch.setattr(workers, "MERGE_DEAD_EVERY", 1)
    process = worker(10)
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    last = SharedMetrics(SharedFolder(tmp_path), "shop", lambda: _snapshot(1))
    last.start()
    (folder,) = tmp_path.iterdir()
    end = time.monotonic() + 60
    while list(folder.glob(f"{process.pid}-*")) and time.monotonic() < end:
        time.sleep(0.05)
    assert not list(folder.glob(f"{process.pid}-*"))
    assert _value(last.all(), "requests") == 11


def test_metrics_that_cannot_be_collected_once_are_collected_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "INTERVAL_S", 0.05)
    taken: list[int] = []
    again = threading.Event()

    def take() -> Snapshot:
        taken.append(1)
        if len(taken) == 1:
            raise MemoryError
        again.set()
        return _snapshot(1)

    SharedMetrics(SharedFolder(tmp_path), "shop", take).start()
    assert again.wait(60)


def test_a_file_that_is_torn_is_passed_over(mine: SharedMetrics, worker: Any, tmp_path: Path) -> None:
    worker(10)
    (folder,) = tmp_path.iterdir()
    (other,) = [path for path in folder.glob("*.json") if not path.name.startswith(f"{os.getpid()}-")]
    other.write_text('[{"scope": "app", ')
    assert _value(mine.all(), "requests") == 1


def test_the_folder_of_a_server_that_ended_long_ago_is_removed(tmp_path: Path) -> None:
    old = tmp_path / "metrics-0-1-2"
    old.mkdir()
    (old / workers.DEAD_WORKERS_FILE).write_text("{}")
    for path in (old / workers.DEAD_WORKERS_FILE, old):
        os.utime(path, (0, 0))
    SharedMetrics(SharedFolder(tmp_path), "shop", lambda: _snapshot(1)).start()
    assert not old.exists()
