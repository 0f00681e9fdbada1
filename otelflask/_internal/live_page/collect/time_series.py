"""Counts of requests by route, for each ten seconds of an hour. Counted outside of requests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from otelflask._internal.live_page.collect.ring import EndedRequest

#: Seconds of a slot; slots that are kept; routes of one slot.
SLOT_S = 10
SLOTS = 360
MAX_ROUTES = 100
OTHER = "_OTHER"
#: Buckets a doubling: OpenTelemetry's exponential histogram of scale 3. A quantile is off by at most 9 %.
SCALE = 8
#: Shorter durations count as this one, in seconds.
SHORTEST_S = 1e-5


@dataclass(slots=True)
class Slot:
    """Requests of one route in ten seconds. `total` is in seconds, `buckets` are by number (see `bucket_of`)."""

    count: int = 0
    failed: int = 0
    total: float = 0.0
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, other: Slot) -> None:
        """Add another slot."""
        self.count += other.count
        self.failed += other.failed
        self.total += other.total
        self.buckets.update(other.buckets)


class TimeSeries:
    """The counts of one worker. Not thread-safe."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the parent's counts."""
        self._slots: dict[int, dict[str, Slot]] = {}
        self._changed: set[int] = set()

    def add(self, requests: Iterable[EndedRequest]) -> None:
        """Count requests."""
        for request in requests:
            number = slot_of(request.time / 1e9 + request.duration)
            routes = self._slots.get(number)
            if routes is None:
                routes = self._slots[number] = {}
                forget_outside(self._slots, number)
            route = request.route
            if route not in routes and len(routes) >= MAX_ROUTES:
                route = OTHER
            slot = routes.setdefault(route, Slot())
            slot.count += 1
            slot.failed += request.failed
            slot.total += request.duration
            slot.buckets[bucket_of(request.duration)] += 1
            self._changed.add(number)

    def take_changed(self, everything: bool = False) -> list[tuple[int, str, Slot]]:
        """The slots that have changed since the last call, or all: number, route and counts."""
        numbers = list(self._slots) if everything else [n for n in self._changed if n in self._slots]
        self._changed.clear()
        return [(number, route, slot) for number in numbers for route, slot in self._slots[number].items()]


def forget_outside(slots: dict[int, Any], newest: int) -> None:
    """Remove slots outside of the hour that ends with the newest, also those of a clock that was set back."""
    for number in [known for known in slots if not newest - SLOTS < known <= newest + 1]:
        del slots[number]


def slot_of(seconds: float) -> int:
    """The slot of a time in epoch seconds."""
    return int(seconds) // SLOT_S


def bucket_of(seconds: float) -> int:
    """The bucket of a duration: above ``2 ** ((n - 1) / SCALE)``, up to ``2 ** (n / SCALE)``.

    Metrics data model, "Exponential Histogram".
    """
    return math.ceil(math.log2(max(seconds, SHORTEST_S)) * SCALE)


def quantile(buckets: Mapping[int, int], share: float) -> float | None:
    """The duration, in seconds, below which this share of requests stays; None without requests."""
    total = sum(buckets.values())
    if not total:
        return None
    wanted, below = share * total, 0
    for number, count in sorted(buckets.items()):
        if below + count >= wanted:
            lower, upper = 2 ** ((number - 1) / SCALE), 2 ** (number / SCALE)
            return float(lower + (upper - lower) * (wanted - below) / count)
        below += count
    return float(2 ** (max(buckets) / SCALE))
