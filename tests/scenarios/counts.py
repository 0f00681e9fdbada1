"""What a scenario changed in the metrics: differences of counters and histograms, new values of the others."""

from __future__ import annotations

from typing import Any

from otelflask._internal.testing.collector import attributes_of
from tests.scenarios.arrived import Item, Processes, Requests, canonical, items
from tests.scenarios.normalised import Labels

#: Of the machine, the interpreter and the pipeline: they depend on time and on batches.
_LEFT_OUT = ("process.", "otelflask.process.", "system.", "cpython.", "otel.sdk.")
#: A process that ends may send a mail before or after its last metrics.
_OF_MAILS = "otelflask.error.mails"
_BYTES = frozenset({"By"})
_TEMPORALITY = {0: "unspecified", 1: "delta", 2: "cumulative"}


class Counts:
    """Remembers the last value of each series."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, str], Any] = {}
        self._known: dict[str, Item] = {}

    def changed(self, requests: Requests, labels: Labels, processes: Processes) -> list[Item]:
        """What has changed since the last call, by name and attributes."""
        latest: dict[tuple[str, str, str], tuple[Any, Any]] = {}
        shown: dict[tuple[str, str, str], Item] = {}
        for metric, resource, scope in items(requests, "metrics"):
            kind = metric.WhichOneof("data")
            data = getattr(metric, kind)
            self._known[f"{scope.scope.name} {metric.name}"] = _described(metric, kind, data, scope.scope.name)
            if metric.name.startswith(_LEFT_OUT):
                continue
            process = processes.name(resource)
            if metric.name == _OF_MAILS and process != "main":
                continue
            for point in data.data_points:
                attributes = labels.value(attributes_of(point.attributes))
                key = (process, metric.name, canonical(attributes))
                latest[key] = (metric, point)
                shown[key] = {"name": metric.name, "attributes": attributes, "process": process}
        found = []
        for key in sorted(latest):
            change = self._change(key, *latest[key])
            if change is not None:
                item = {**shown[key], **change}
                if item["process"] == "main":
                    del item["process"]
                found.append(item)
        return found

    def _change(self, key: tuple[str, str, str], metric: Any, point: Any) -> Item | None:
        kind = metric.WhichOneof("data")
        if kind == "histogram":
            now = [point.count, point.sum, list(point.bucket_counts)]
            last = self._last.get(key, [0, 0, [0] * len(now[2])])
            if key in self._last and last[0] == now[0]:
                return None
            self._last[key] = now
            change: Item = {"count": now[0] - last[0]}
            if metric.unit in _BYTES:
                change["sum"] = now[1] - last[1]
                bounds = [*map(str, point.explicit_bounds), "more"]
                added = [new - old for new, old in zip(now[2], last[2], strict=True)]
                change["buckets"] = {bound: count for bound, count in zip(bounds, added, strict=True) if count}
            return change
        value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
        last = self._last.get(key)
        if last == value:
            return None
        self._last[key] = value
        if kind == "sum" and metric.sum.is_monotonic:
            return {"added": value - (last or 0)}
        return {"value": value}

    def known(self) -> list[Item]:
        """All metrics that were seen, by scope and name."""
        return [item for _, item in sorted(self._known.items())]


def _described(metric: Any, kind: str, data: Any, scope: str) -> Item:
    described: Item = {
        "name": metric.name,
        "unit": metric.unit,
        "description": metric.description,
        "scope": scope,
        "kind": kind,
    }
    if kind != "gauge":
        described["temporality"] = _TEMPORALITY[data.aggregation_temporality]
    if kind == "sum":
        described["monotonic"] = data.is_monotonic
    if kind == "histogram":
        described["bounds"] = sorted({tuple(point.explicit_bounds) for point in data.data_points})
    return described
