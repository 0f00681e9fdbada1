"""The overview's values and charts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from otelflask._internal.live_page.collect.file import MonitorFile
from otelflask._internal.live_page.collect.store import MonitorStore
from otelflask._internal.live_page.collect.time_series import SLOT_S, Slot, bucket_of, slot_of
from otelflask._internal.live_page.collect.worker_stats import WorkerStat
from otelflask._internal.live_page.show.overview import Panel, overview
from otelflask._internal.live_page.show.repository import Repository
from otelflask._internal.shared_folder import SharedFolder

NOW = 1_700_000_003.0
LAST = slot_of(NOW)


@pytest.fixture
def store(tmp_path: Path) -> MonitorStore:
    return MonitorStore(MonitorFile(SharedFolder(tmp_path), "shop"), 10**9)


def _shown(store: MonitorStore, minutes: int = 5) -> tuple[dict[str, Panel], dict[str, Any]]:
    found = overview(Repository(store.file), minutes, NOW)
    return {panel.name: panel for panel in found["panels"]}, found


def _slot(count: int, failed: int = 0, seconds: float = 0.1) -> Slot:
    return Slot(count, failed, count * seconds, Counter({bucket_of(seconds): count}))


def _process(**other: Any) -> dict[str, Any]:
    return {
        "started": NOW - 1_000,
        "active": 1,
        "cpu": 0.25,
        "memory": 100,
        "waiting": 7,
        "health": [],
        "breakers": [],
        **other,
    }


def test_rates_shares_and_quantiles_are_of_the_whole_time_and_of_each_point(store: MonitorStore) -> None:
    vital = WorkerStat(0, 0, 0, 0, 0)
    store.write_numbers([(LAST, "/x", _slot(20, 5)), (LAST - 29, "/x", _slot(10))], [(LAST, vital)], "1", NOW)
    store.write_process(_process(), "1", NOW)
    panels, _ = _shown(store)
    assert panels["rate"].value == 30 / 300
    # The last ten seconds are three seconds old.
    assert (panels["rate"].values[0], panels["rate"].values[-1]) == (1.0, 20 / 3)
    assert (panels["errors"].value, panels["errors"].values[-1], panels["errors"].values[-2]) == (5 / 30, 0.25, None)
    assert panels["p95"].value == pytest.approx(0.1, rel=0.1)
    assert len(panels["rate"].times) == 30
    assert panels["rate"].times[-1] == LAST * SLOT_S


def test_an_hour_has_a_point_a_minute(store: MonitorStore) -> None:
    store.write_numbers([(LAST - 200, "/x", _slot(12))], [(LAST, WorkerStat(0, 0, 0, 0, 0))], "1", NOW)
    panels, _ = _shown(store, 60)
    assert len(panels["rate"].values) == 60
    assert sum(value or 0 for value in panels["rate"].values) == pytest.approx(12 / 60)
    assert _shown(store)[0]["rate"].value == 0


def test_a_server_that_has_just_begun_is_measured_by_the_time_it_has_been_there(store: MonitorStore) -> None:
    store.write_numbers([(LAST - 1, "/x", _slot(100))], [(LAST, WorkerStat(0, 0, 0, 0, 0))], "1", NOW)
    store.write_process(_process(started=NOW - 20), "1", NOW)
    assert _shown(store)[0]["rate"].value == 100 / 20
    assert _shown(store, 60)[0]["rate"].value == 100 / 20


def test_workers_are_added_up_and_what_was_dropped_is_counted_once(store: MonitorStore) -> None:
    before = [(LAST - 30, WorkerStat(0.1, 50, 0, 0, 100)), (LAST - 1, WorkerStat(0.1, 50, 1, 2, 104))]
    store.write_numbers([], before, "1", NOW)
    store.write_numbers([], [(LAST - 1, WorkerStat(0.2, 70, 2, 3, 0)), (LAST, WorkerStat(0.2, 70, 2, 3, 1))], "2", NOW)
    store.write_process(_process(), "1", NOW)
    store.write_process(_process(), "2", NOW - 60)
    panels, found = _shown(store)
    assert panels["memory"].values[-2:] == [120, 70]
    assert panels["cpu"].values[-2] == pytest.approx(0.3)
    assert panels["dropped"].values[-2:] == [4, 1]
    assert (panels["dropped"].value, panels["dropped"].is_bad) == (5, True)
    # One worker has not reported for a minute, and counts as gone.
    assert (panels["active"].value, panels["waiting"].value, found["workers"]) == (1, 7, 1)


def test_of_several_workers_the_worst_state_is_shown(store: MonitorStore) -> None:
    closed, opened = {"name": "payments", "state": "closed"}, {"name": "payments", "state": "open"}
    store.write_process(_process(breakers=[opened]), "1", NOW)
    store.write_process(_process(breakers=[closed]), "2", NOW)
    assert _shown(store)[1]["breakers"] == [opened]


def test_other_times_are_refused(store: MonitorStore) -> None:
    with pytest.raises(ValueError, match="minutes is 7; allowed are 5 and 60"):
        _shown(store, 7)
