"""Requests in numbers: for each ten seconds of an hour, by route. Counted from what has ended, off the request path."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from otelflask._internal.live_page.collect.ring import Ended

#: Seconds of a slot, slots that are kept, and routes that are told apart in one.
SLOT_S = 10
SLOTS = 360
MAX_ROUTES = 100
OTHER = "_OTHER"
#: Buckets a doubling: OpenTelemetry's exponential histogram of scale 3, so a quantile is off by 9 % at most.
SCALE = 8
#: Shorter ones count as this many seconds.
SHORTEST_S = 1e-5


@dataclass(slots=True)
class Slot:
    """Requests of one route in ten seconds; `total` in seconds, `buckets` by number (see `bucket_of`)."""

    count: int = 0
    failed: int = 0
    total: float = 0.0
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, other: Slot) -> None:
        """Add another's."""
        self.count += other.count
        self.failed += other.failed
        self.total += other.total
        self.buckets.update(other.buckets)


class TimeSeries:
    """Of one worker; used by one thread at a time."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """What the parent counted is the parent's."""
        self._slots: dict[int, dict[str, Slot]] = {}
        self._changed: set[int] = set()

    def add(self, requests: Iterable[Ended]) -> None:
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
        """Slots that have changed since they were taken last, or all: their number, route, and counts."""
        numbers = list(self._slots) if everything else [n for n in self._changed if n in self._slots]
        self._changed.clear()
        return [(number, route, slot) for number in numbers for route, slot in self._slots[number].items()]


def forget_outside(slots: dict[int, Any], newest: int) -> None:
    """Forget slots that are not of the hour that ends with the newest: older ones, and those of a clock put back."""
    for number in [known for known in slots if not newest - SLOTS < known <= newest + 1]:
        del slots[number]


def slot_of(seconds: float) -> int:
    """The slot that a time (epoch seconds) lies in."""
    return int(seconds) // SLOT_S


def bucket_of(seconds: float) -> int:
    """The bucket that a duration lies in: above ``2 ** ((n - 1) / SCALE)``, up to ``2 ** (n / SCALE)``.

    Metrics data model, "Exponential Histogram".
    """
    return math.ceil(math.log2(max(seconds, SHORTEST_S)) * SCALE)


def quantile(buckets: Mapping[int, int], share: float) -> float | None:
    """The duration in seconds that this share of requests stays below, as far as buckets tell; None without any."""
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
