"""Counts of requests over time."""

from __future__ import annotations

import random

import pytest

from otelflask._internal.live_page.collect.ring import EndedRequest
from otelflask._internal.live_page.collect.time_series import (
    MAX_ROUTES,
    OTHER,
    SLOT_S,
    SLOTS,
    TimeSeries,
    bucket_of,
    quantile,
)


def _ended(at: float, seconds: float = 0.02, route: str = "/x", status: int = 200) -> EndedRequest:
    return EndedRequest(int((at - seconds) * 1e9), seconds, route, status, status >= 500, 0)


def test_requests_are_counted_by_ten_seconds_and_route() -> None:
    panels = TimeSeries()
    panels.add([_ended(1_000.5), _ended(1_005, status=500), _ended(1_011), _ended(1_011, route="/y")])
    counted = {(number, route): (slot.count, slot.failed) for number, route, slot in panels.take_changed()}
    assert counted == {(100, "/x"): (2, 1), (101, "/x"): (1, 0), (101, "/y"): (1, 0)}
    assert panels.take_changed() == []
    assert len(panels.take_changed(everything=True)) == 3


def test_an_hour_is_kept_and_no_more() -> None:
    panels = TimeSeries()
    for number in range(1, SLOTS + 50):
        panels.add([_ended(number * SLOT_S + 1)])
    assert len(panels.take_changed(everything=True)) == SLOTS


def test_routes_are_bounded() -> None:
    panels = TimeSeries()
    panels.add([_ended(1_000.5, route=f"/{number}") for number in range(MAX_ROUTES + 50)])
    slots = {route: slot.count for _, route, slot in panels.take_changed()}
    assert len(slots) == MAX_ROUTES + 1
    assert slots[OTHER] == 50


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_quantile_is_off_by_the_width_of_a_bucket_at_most(share: float) -> None:
    choice = random.Random(1)
    durations = sorted(choice.lognormvariate(-4, 1.5) for _ in range(5_000))
    panels = TimeSeries()
    panels.add([_ended(1_000_005, seconds) for seconds in durations])
    buckets = next(slot.buckets for _, _, slot in panels.take_changed() if slot.count > 4_000)
    found = quantile(buckets, share)
    assert found == pytest.approx(durations[int(share * len(durations))], rel=0.1)


def test_a_duration_of_nothing_has_a_bucket() -> None:
    assert bucket_of(0.0) == bucket_of(1e-6)


def test_nothing_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None
