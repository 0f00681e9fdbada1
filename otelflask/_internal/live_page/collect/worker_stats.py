"""The state of one worker: now, and in each ten seconds of the last hour."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import Counter as Counts
from collections.abc import Callable
from typing import Any, NamedTuple

import psutil

from otelflask._internal.export.queue import ExportQueue
from otelflask._internal.live_page.collect.time_series import forget_outside, slot_of
from otelflask._internal.redaction import Scrubber

DELIVERED = "delivered"
#: Seconds for which a measurement counts as current.
FRESH_S = 0.9


class WorkerStat(NamedTuple):
    """The state of a worker in one slot.

    Attributes:
        cpu: The share of one processor.
        memory: Bytes.
        active: Active requests.
        waiting: Items that wait for export.
        dropped: Items that were dropped since the start.
    """

    cpu: float
    memory: int
    active: int
    waiting: int
    dropped: int


class WorkerStats:
    """Measures one worker. Not thread-safe.

    Args:
        active: Returns the number of active requests.
        queues: The export queues.
        scrubber: Masks secrets.
        facts: Returns more about the process, such as the outcomes of health checks.
    """

    def __init__(
        self,
        active: Callable[[], int],
        queues: list[ExportQueue],
        scrubber: Scrubber,
        facts: Callable[[], dict[str, Any]],
    ) -> None:
        self._active = active
        self._queues = queues
        self._scrubber = scrubber
        self._facts = facts
        self.after_fork()

    def after_fork(self) -> None:
        """Measure the child instead of the parent."""
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._series: dict[int, WorkerStat] = {}
        self._taken = 0.0

    def take(self, now: float) -> None:
        """Measure this worker, once a slot.

        Args:
            now: Epoch seconds.
        """
        if slot_of(now) not in self._series:
            self.now(now)

    def now(self, now: float) -> WorkerStat:
        """The state of this worker, at most one second old.

        Args:
            now: Epoch seconds.
        """
        number = slot_of(now)
        if number in self._series and time.monotonic() - self._taken < FRESH_S:
            return self._series[number]
        self._taken = time.monotonic()
        with self._process.oneshot():
            stat = WorkerStat(
                # Since the last call.
                self._process.cpu_percent() / 100,
                self._process.memory_info().rss,
                self._active(),
                sum(map(len, self._queues)),
                sum(sum(_lost(queue).values()) for queue in self._queues),
            )
        self._series[number] = stat
        forget_outside(self._series, number)
        return stat

    def series(self) -> list[tuple[int, WorkerStat]]:
        """The slots of the last hour, by number."""
        return sorted(self._series.items())

    def describe(self) -> dict[str, Any]:
        """The description of this worker for the runtime view."""
        return {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "started": self._process.create_time(),
            "threads": sorted(Counts(thread.name for thread in threading.enumerate()).items()),
            "gc": {
                "enabled": gc.isenabled(),
                "frozen": gc.get_freeze_count(),
                "generations": [
                    {"waiting": waiting, "threshold": threshold, **stats}
                    for waiting, threshold, stats in zip(
                        gc.get_count(), gc.get_threshold(), gc.get_stats(), strict=True
                    )
                ],
            },
            "queues": [
                {
                    "name": queue.name,
                    "to": self._scrubber.text(queue.destination.endpoint),
                    "waiting": len(queue),
                    "capacity": queue.capacity,
                    "delivered": queue.counts[DELIVERED],
                    "lost": _lost(queue),
                }
                for queue in self._queues
            ],
            **self._facts(),
        }


def _lost(queue: ExportQueue) -> dict[str, int]:
    """Items that did not arrive, by reason."""
    return {reason: count for reason, count in sorted(dict(queue.counts).items()) if reason != DELIVERED}
