"""The overview: rate, errors and durations as lines, the routes that matter, how the workers are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from otelflask._internal.live_page.collect.time_series import SLOT_S, Slot, quantile, slot_of
from otelflask._internal.live_page.collect.worker_stats import WorkerStat
from otelflask._internal.live_page.show.repository import Repository

#: Minutes that can be shown → slots that are one point of a line.
MINUTES = {5: 1, 60: 6}
#: Seconds after which a worker that has not said how it is counts as gone.
GONE_S = 10.0
#: Routes that are shown.
ROUTES = 10
#: How bad a state is: of several workers' the worst is shown.
_WORSE = {"fail": 3, "open": 3, "half_open": 2, "warn": 2}


@dataclass
class Point:
    """A point of the lines; None where nothing is known."""

    time: int
    slot: Slot = field(default_factory=Slot)
    #: The last of each worker in this time.
    vitals: dict[str, WorkerStat] = field(default_factory=dict)
    dropped: int = 0

    def over(self, name: str) -> float | None:
        """The sum over all workers; None where none has said it."""
        return sum(getattr(vital, name) for vital in self.vitals.values()) if self.vitals else None


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure now or over the whole time, and its line: epoch seconds and values; `kind` says how it is written."""

    name: str
    title: str
    value: float | None
    kind: str
    times: list[int]
    values: list[float | None]
    is_bad: bool = False


def overview(repository: Repository, minutes: int, now: float) -> dict[str, Any]:
    """What the overview shows. In: minutes, and epoch seconds. Raises ValueError for other minutes."""
    if minutes not in MINUTES:
        raise ValueError(f"minutes is {minutes}; allowed are {' and '.join(map(str, MINUTES))}")
    last, width = slot_of(now), MINUTES[minutes]
    count = minutes * 60 // SLOT_S // width
    points = [Point((last + 1 - (count - number) * width) * SLOT_S) for number in range(count)]

    def point_of(slot: int) -> Point:
        # A clock that runs ahead is now.
        return points[max(0, count - 1 - max(0, last - slot) // width)]

    routes: dict[str, Slot] = {}
    total = Slot()
    tiles = repository.tiles(last - count * width)
    for number, route, slot in tiles:
        point_of(number).slot.add(slot)
        routes.setdefault(route, Slot()).add(slot)
        total.add(slot)
    before: dict[str, int] = {}
    # One slot more, so that what was dropped in the first one is known.
    for worker, number, vital in repository.vitals(last - count * width):
        if number > last - count * width:
            point = point_of(number)
            point.vitals[worker] = vital
            point.dropped += max(0, vital.dropped - before.get(worker, 0))
        before[worker] = vital.dropped
    processes = repository.processes(now - GONE_S)
    # A server that has just begun is not measured by time in which it was not there.
    since = min(
        [process["started"] for process in processes] + [number * SLOT_S for number, _, _ in tiles], default=0.0
    )
    seconds = min(max(now - since, 1.0), minutes * 60.0)
    by_route = [_of_route(route, slot, seconds) for route, slot in routes.items()]
    return {
        "minutes": minutes,
        "tiles": _tiles(points, total, processes, width * SLOT_S, seconds, now),
        "slowest": sorted(by_route, key=lambda row: row["p95"] or 0.0, reverse=True)[:ROUTES],
        "failing": sorted((row for row in by_route if row["failed"]), key=lambda row: -row["failed"])[:ROUTES],
        "health": _worst(row for process in processes for row in process["health"]),
        "breakers": _worst(row for process in processes for row in process["breakers"]),
        "workers": len(processes),
    }


def _of_route(route: str, slot: Slot, seconds: float) -> dict[str, Any]:
    return {
        "route": route,
        "count": slot.count,
        "rate": slot.count / seconds,
        "failed": slot.failed,
        "share": slot.failed / slot.count,
        **{f"p{share}": quantile(slot.buckets, share / 100) for share in (50, 95)},
    }


def _tiles(
    points: list[Point], total: Slot, processes: list[dict[str, Any]], width: int, seconds: float, now: float
) -> list[Tile]:
    times = [point.time for point in points]

    def line(value: Any) -> list[float | None]:
        return [value(point) for point in points]

    def share(slot: Slot) -> float | None:
        return slot.failed / slot.count if slot.count else None

    def rate(point: Point) -> float:
        # The last one is still running.
        return point.slot.count / min(width, max(now - point.time, 1.0))

    def current(name: str) -> float | None:
        return sum(process[name] for process in processes) if processes else None

    def quantiles(percent: int) -> Tile:
        name = f"p{percent}"
        values = line(lambda point: quantile(point.slot.buckets, percent / 100))
        return Tile(name, f"Duration {name}", quantile(total.buckets, percent / 100), "seconds", times, values)

    dropped = sum(point.dropped for point in points)
    return [
        Tile("rate", "Requests", total.count / seconds, "rate", times, line(rate)),
        Tile("errors", "Errors", share(total), "share", times, line(lambda p: share(p.slot)), bool(total.failed)),
        quantiles(50),
        quantiles(95),
        quantiles(99),
        Tile("active", "In flight", current("active"), "count", times, line(lambda point: point.over("active"))),
        Tile("cpu", "CPU", current("cpu"), "share", times, line(lambda point: point.over("cpu"))),
        Tile("memory", "Memory", current("memory"), "bytes", times, line(lambda point: point.over("memory"))),
        Tile("waiting", "Waiting to be sent", current("waiting"), "count", times, line(lambda p: p.over("waiting"))),
        Tile("dropped", "Dropped", dropped, "count", times, line(lambda point: point.dropped), bool(dropped)),
    ]


def _worst(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each name the worst that a worker says."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        known = found.get(row["name"])
        if known is None or _WORSE.get(row["state"], 0) > _WORSE.get(known["state"], 0):
            found[row["name"]] = row
    return [found[name] for name in sorted(found)]
