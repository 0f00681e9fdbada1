"""The overview: rate, errors and durations as charts, the most important routes, the state of the workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from otelflask._internal.live_page.collect.time_series import SLOT_S, Slot, quantile, slot_of
from otelflask._internal.live_page.collect.worker_stats import WorkerStat
from otelflask._internal.live_page.show.repository import Repository

#: Minutes that can be shown → slots of one point.
MINUTES = {5: 1, 60: 6}
#: Seconds after which a silent worker counts as gone.
STALE_AFTER_S = 10.0
#: Routes that are shown.
ROUTES = 10
#: The order of states, worst last: the worst of all workers is shown.
_WORSE = {"fail": 3, "open": 3, "half_open": 2, "warn": 2}


@dataclass
class Point:
    """A point of the charts. A value is None where nothing is known."""

    time: int
    slot: Slot = field(default_factory=Slot)
    #: The last state of each worker in this time.
    stats: dict[str, WorkerStat] = field(default_factory=dict)
    dropped: int = 0

    def over(self, name: str) -> float | None:
        """The sum over all workers; None where no worker has reported."""
        return sum(getattr(stat, name) for stat in self.stats.values()) if self.stats else None


@dataclass(frozen=True, slots=True)
class Panel:
    """A value now or over the whole time, and its chart (epoch seconds and values). `kind` gives the format."""

    name: str
    title: str
    value: float | None
    kind: str
    times: list[int]
    values: list[float | None]
    is_bad: bool = False


def overview(repository: Repository, minutes: int, now: float) -> dict[str, Any]:
    """The content of the overview.

    Args:
        repository: The queries.
        minutes: A key of `MINUTES`.
        now: Epoch seconds.

    Raises:
        ValueError: Another number of minutes.
    """
    if minutes not in MINUTES:
        raise ValueError(f"minutes is {minutes}; allowed are {' and '.join(map(str, MINUTES))}")
    last, width = slot_of(now), MINUTES[minutes]
    count = minutes * 60 // SLOT_S // width
    points = [Point((last + 1 - (count - number) * width) * SLOT_S) for number in range(count)]

    def point_of(slot: int) -> Point:
        # A time in the future, of another clock, counts as now.
        return points[max(0, count - 1 - max(0, last - slot) // width)]

    routes: dict[str, Slot] = {}
    total = Slot()
    panels = repository.route_slots(last - count * width)
    for number, route, slot in panels:
        point_of(number).slot.add(slot)
        routes.setdefault(route, Slot()).add(slot)
        total.add(slot)
    before: dict[str, int] = {}
    # One slot more, to know what was dropped in the first one.
    for worker, number, stat in repository.worker_stats(last - count * width):
        if number > last - count * width:
            point = point_of(number)
            point.stats[worker] = stat
            point.dropped += max(0, stat.dropped - before.get(worker, 0))
        before[worker] = stat.dropped
    processes = repository.processes(now - STALE_AFTER_S)
    # A server that has just started is not measured over time before its start.
    since = min(
        [process["started"] for process in processes] + [number * SLOT_S for number, _, _ in panels], default=0.0
    )
    seconds = min(max(now - since, 1.0), minutes * 60.0)
    by_route = [_of_route(route, slot, seconds) for route, slot in routes.items()]
    return {
        "minutes": minutes,
        "panels": _panels(points, total, processes, width * SLOT_S, seconds, now),
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


def _panels(
    points: list[Point], total: Slot, processes: list[dict[str, Any]], width: int, seconds: float, now: float
) -> list[Panel]:
    times = [point.time for point in points]

    def line(value: Any) -> list[float | None]:
        return [value(point) for point in points]

    def share(slot: Slot) -> float | None:
        return slot.failed / slot.count if slot.count else None

    def rate(point: Point) -> float:
        # The last point is not complete.
        return point.slot.count / min(width, max(now - point.time, 1.0))

    def current(name: str) -> float | None:
        return sum(process[name] for process in processes) if processes else None

    def quantiles(percent: int) -> Panel:
        name = f"p{percent}"
        values = line(lambda point: quantile(point.slot.buckets, percent / 100))
        return Panel(name, f"Duration {name}", quantile(total.buckets, percent / 100), "seconds", times, values)

    dropped = sum(point.dropped for point in points)
    return [
        Panel("rate", "Requests", total.count / seconds, "rate", times, line(rate)),
        Panel("errors", "Errors", share(total), "share", times, line(lambda p: share(p.slot)), bool(total.failed)),
        quantiles(50),
        quantiles(95),
        quantiles(99),
        Panel("active", "In flight", current("active"), "count", times, line(lambda point: point.over("active"))),
        Panel("cpu", "CPU", current("cpu"), "share", times, line(lambda point: point.over("cpu"))),
        Panel("memory", "Memory", current("memory"), "bytes", times, line(lambda point: point.over("memory"))),
        Panel("waiting", "Telemetry waiting", current("waiting"), "count", times, line(lambda p: p.over("waiting"))),
        Panel(
            "dropped", "Telemetry dropped", dropped, "count", times, line(lambda point: point.dropped), bool(dropped)
        ),
    ]


def _worst(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The worst state of each name over all workers."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        known = found.get(row["name"])
        if known is None or _WORSE.get(row["state"], 0) > _WORSE.get(known["state"], 0):
            found[row["name"]] = row
    return [found[name] for name in sorted(found)]
