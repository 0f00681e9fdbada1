"""The overview: rate, errors and durations as lines, the routes that matter, the workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from otelflask.monitor.store import MonitorStore
from otelflask.monitor.tiles import SLOT_S, Slot, quantile

#: Minutes that can be shown, and points of a line.
MINUTES = (5, 60)
POINTS = 30
#: Seconds after which a worker that has not said how it is counts as gone.
GONE_S = 10.0


def overview(store: MonitorStore, minutes: int, facts: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the overview shows. In: the store, minutes, and what else is known. Raises ValueError for other minutes."""
    if minutes not in MINUTES:
        raise ValueError(f"minutes is {minutes}; allowed are {' and '.join(map(str, MINUTES))}")
    now = int(time.time()) // SLOT_S
    slots = minutes * 60 // SLOT_S
    width = slots // POINTS
    points = [Slot() for _ in range(POINTS)]
    routes: dict[str, Slot] = {}
    total = Slot()
    for number, route, slot in store.tiles(now - slots):
        # The running slot is the last one of the last point.
        points[max(0, POINTS - 1 - (now - number) // width)].add(slot)
        routes.setdefault(route, Slot()).add(slot)
        total.add(slot)
    seconds = width * SLOT_S
    by_route = [{"route": route, **_shown(slot, minutes * 60)} for route, slot in routes.items()]
    return {
        "minutes": minutes,
        "total": _shown(total, minutes * 60),
        "points": [_shown(point, seconds) for point in points],
        "slowest": sorted(by_route, key=lambda row: row["p95"] or 0.0, reverse=True)[:10],
        "failing": sorted((row for row in by_route if row["failed"]), key=lambda row: -row["failed"])[:10],
        "processes": store.processes(time.time() - GONE_S),
        **facts(),
    }


def _shown(slot: Slot, seconds: float) -> dict[str, Any]:
    return {
        "count": slot.count,
        "rate": slot.count / seconds,
        "failed": slot.failed,
        "share": slot.failed / slot.count if slot.count else 0.0,
        **{f"p{round(share * 100)}": quantile(slot.buckets, share) for share in (0.5, 0.95, 0.99)},
    }
