"""Requests in numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from otelflask.monitor.tiles import MAX_ROUTES, OTHER, SLOT_S, SLOTS, Tiles, quantile


def _span(at: float, seconds: float = 0.02, route: str = "/x", status: int = 200) -> Any:
    end = int(at * 1e9)
    attributes = {"http.route": route, "http.response.status_code": status}
    return SimpleNamespace(start_time=end - int(seconds * 1e9), end_time=end, attributes=attributes)


def test_requests_are_counted_by_ten_seconds_and_route() -> None:
    tiles = Tiles()
    tiles.add([_span(1_000), _span(1_005, status=500), _span(1_011), _span(1_011, route="/y")])
    counted = {(number, route): (slot.count, slot.failed) for number, route, slot in tiles.take_changed()}
    assert counted == {(100, "/x"): (2, 1), (101, "/x"): (1, 0), (101, "/y"): (1, 0)}
    assert tiles.take_changed() == []
    assert len(tiles.take_changed(everything=True)) == 3


def test_an_hour_is_kept_and_no_more() -> None:
    tiles = Tiles()
    for number in range(SLOTS + 50):
        tiles.add([_span(number * SLOT_S)])
    assert len(tiles.take_changed(everything=True)) == SLOTS


def test_routes_are_bounded() -> None:
    tiles = Tiles()
    tiles.add([_span(1_000, route=f"/{number}") for number in range(MAX_ROUTES + 50)])
    slots = {route: slot.count for _, route, slot in tiles.take_changed()}
    assert len(slots) == MAX_ROUTES + 1
    assert slots[OTHER] == 50


@pytest.mark.parametrize(
    ("durations", "share", "low", "high"),
    [
        ([0.02] * 100, 0.5, 0.01, 0.025),
        ([0.02] * 95 + [0.3] * 5, 0.99, 0.25, 0.5),
        ([60.0], 0.5, 10.0, 10.0),
    ],
)
def test_a_quantile_lies_in_the_bucket_of_its_request(
    durations: list[float], share: float, low: float, high: float
) -> None:
    tiles = Tiles()
    tiles.add([_span(1_000, seconds) for seconds in durations])
    ((_, _, slot),) = tiles.take_changed()
    found = quantile(slot.buckets, share)
    assert found is not None
    assert low <= found <= high


def test_nothing_has_no_quantile() -> None:
    assert quantile([0] * 15, 0.5) is None
