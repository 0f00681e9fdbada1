"""Requests in numbers: for each ten seconds of an hour, by route. Counted from what has ended, off the request path."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from otelflask.http.metrics import DURATION_BOUNDARIES

#: Seconds of a slot, slots that are kept, and routes that are told apart in one.
SLOT_S = 10
SLOTS = 360
MAX_ROUTES = 200
OTHER = "_OTHER"


@dataclass
class Slot:
    """Requests of one route in ten seconds; `total` in seconds, `buckets` by `DURATION_BOUNDARIES`."""

    count: int = 0
    failed: int = 0
    total: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(DURATION_BOUNDARIES) + 1))

    def add(self, other: Slot) -> None:
        """Add another's."""
        self.count += other.count
        self.failed += other.failed
        self.total += other.total
        self.buckets = [mine + its for mine, its in zip(self.buckets, other.buckets, strict=True)]


class Tiles:
    """Of one worker."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """What the parent counted is the parent's."""
        self._lock = threading.Lock()
        self._slots: dict[int, dict[str, Slot]] = {}
        self._changed: set[int] = set()

    def add(self, spans: Iterable[Any]) -> None:
        """Count requests. In: their spans, ended."""
        with self._lock:
            for span in spans:
                number = int(span.end_time // 1_000_000_000) // SLOT_S
                routes = self._slots.get(number)
                if routes is None:
                    routes = self._slots[number] = {}
                    for old in [known for known in self._slots if known <= number - SLOTS]:
                        del self._slots[old]
                attributes = span.attributes or {}
                route = str(attributes.get("http.route", ""))
                if route not in routes and len(routes) >= MAX_ROUTES:
                    route = OTHER
                slot = routes.setdefault(route, Slot())
                seconds = (span.end_time - span.start_time) / 1e9
                slot.count += 1
                slot.failed += int(attributes.get("http.response.status_code", 0)) >= 500
                slot.total += seconds
                slot.buckets[bisect_left(DURATION_BOUNDARIES, seconds)] += 1
                self._changed.add(number)

    def take_changed(self, everything: bool = False) -> list[tuple[int, str, Slot]]:
        """Slots that have changed since they were taken last, or all: their number, route, and counts."""
        with self._lock:
            numbers = list(self._slots) if everything else [n for n in self._changed if n in self._slots]
            self._changed.clear()
            return [(number, route, slot) for number in numbers for route, slot in self._slots[number].items()]


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """The duration in seconds that this share of requests stays below, as far as buckets tell; None without any."""
    total = sum(buckets)
    if not total:
        return None
    wanted, below = share * total, 0
    for number, count in enumerate(buckets):
        if count and below + count >= wanted:
            lower = DURATION_BOUNDARIES[number - 1] if number else 0.0
            if number >= len(DURATION_BOUNDARIES):
                return lower
            return lower + (DURATION_BOUNDARIES[number] - lower) * (wanted - below) / count
        below += count
    return DURATION_BOUNDARIES[-1]
