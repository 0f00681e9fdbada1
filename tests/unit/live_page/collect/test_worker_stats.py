"""The state of a worker."""

from __future__ import annotations

import threading
import time
from collections import Counter

from otelflask._internal.live_page.collect.time_series import SLOT_S, SLOTS
from otelflask._internal.live_page.collect.worker_stats import WorkerStats
from otelflask._internal.redaction import Scrubber


class _Destination:
    endpoint = "http://user:pa55word@collector.example:4318/v1/traces"


class _Queue:
    name = "spans"
    capacity = 100
    destination = _Destination()

    def __init__(self) -> None:
        self.counts = Counter({"delivered": 7, "dropped:queue_full": 3, "rejected": 2})

    def __len__(self) -> int:
        return 5


def _worker_stats() -> WorkerStats:
    return WorkerStats(lambda: 3, [_Queue()], Scrubber(), lambda: {"health": []})  # type: ignore[list-item]


def test_a_worker_is_told_by_what_it_does_holds_and_lost() -> None:
    found = _worker_stats().now(time.time())
    assert (found.active, found.waiting, found.dropped) == (3, 5, 5)
    assert found.memory > 1_000_000


def test_an_hour_is_kept_and_no_more() -> None:
    stats = _worker_stats()
    for number in range(SLOTS + 20):
        stats.take(1_000_000.0 + number * SLOT_S)
    assert len(stats.series()) == SLOTS


def test_a_clock_that_is_put_back_leaves_no_slots_ahead() -> None:
    stats = _worker_stats()
    stats.take(1_000_000.0)
    stats.take(900_000.0)
    assert [number for number, _ in stats.series()] == [90_000]


def test_threads_are_told_by_name_and_what_was_lost_by_reason_without_secrets() -> None:
    ready, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (ready.set(), done.wait()), name="busy with lamps")
    thread.start()
    try:
        ready.wait()
        found = _worker_stats().describe()
    finally:
        done.set()
        thread.join()
    assert ("busy with lamps", 1) in found["threads"]
    (queue,) = found["queues"]
    assert queue["lost"] == {"dropped:queue_full": 3, "rejected": 2}
    assert queue["delivered"] == 7
    assert "pa55word" not in queue["to"]
    assert len(found["gc"]["generations"]) == 3
