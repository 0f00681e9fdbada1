"""How one worker is: now, and in each ten seconds of the last hour."""

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
#: Seconds for which what was found counts as now.
FRESH_S = 0.9


class WorkerStat(NamedTuple):
    """A worker in one slot.

    `cpu` as a share of one processor, `memory` in bytes; requests in flight;
    telemetry that waits to be sent, and that was dropped since the start.
    """

    cpu: float
    memory: int
    active: int
    waiting: int
    dropped: int


class WorkerStats:
    """Of one worker; used by one thread at a time.

    In: what counts the requests in flight; the export queues; what masks secrets; what else is known of a process,
    such as the outcomes of health checks.
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
        """A child is a process of its own."""
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._series: dict[int, WorkerStat] = {}
        self._taken = 0.0

    def take(self, now: float) -> None:
        """Look at this worker, where its slot has no look yet. In: epoch seconds."""
        if slot_of(now) not in self._series:
            self.now(now)

    def now(self, now: float) -> WorkerStat:
        """This worker, as it is, or was less than a second ago. In: epoch seconds."""
        number = slot_of(now)
        if number in self._series and time.monotonic() - self._taken < FRESH_S:
            return self._series[number]
        self._taken = time.monotonic()
        with self._process.oneshot():
            vital = WorkerStat(
                # Since this was asked last.
                self._process.cpu_percent() / 100,
                self._process.memory_info().rss,
                self._active(),
                sum(map(len, self._queues)),
                sum(sum(_lost(queue).values()) for queue in self._queues),
            )
        self._series[number] = vital
        forget_outside(self._series, number)
        return vital

    def series(self) -> list[tuple[int, WorkerStat]]:
        """Slots of the last hour, by number."""
        return sorted(self._series.items())

    def describe(self) -> dict[str, Any]:
        """What the page's view of the runtime shows of this worker."""
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
