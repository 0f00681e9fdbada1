"""What one worker keeps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from otelflask._internal.live_page.collect.ring import Ring, trace_id_of


def _span(trace_id: int) -> Any:
    return SimpleNamespace(get_span_context=lambda: SimpleNamespace(trace_id=trace_id))


def _end(ring: Ring, trace_id: int, *, status: int = 200, seconds: float = 0.01, sampled: bool = True) -> None:
    if sampled:
        ring.on_end(_span(trace_id))
    record = SimpleNamespace(
        span=_span(trace_id),
        started_at=10**18,
        duration=seconds,
        route="/x",
        status=status,
        error_type=str(status) if status >= 500 else None,
    )
    ring.closed(record)  # type: ignore[arg-type]


def test_the_newest_are_kept() -> None:
    ring = Ring(10, 10, 1.0)
    for trace_id in range(1, 31):
        _end(ring, trace_id)
    assert [trace_id_of(item) for item in ring.read()] == list(range(21, 31))


def test_requests_that_failed_or_were_slow_stay_with_all_that_belongs_to_them() -> None:
    ring = Ring(10, 10, 1.0)
    ring.on_end(_span(1))
    _end(ring, 1, status=500)
    ring.on_end(_span(2))
    _end(ring, 2, seconds=1.5)
    ring.drain()
    for trace_id in range(3, 50):
        _end(ring, trace_id)
    kept = [trace_id_of(item) for item in ring.read()]
    assert kept[:4] == [1, 1, 2, 2]


def test_requests_whose_spans_are_not_sampled_are_told_too() -> None:
    ring = Ring(10, 10, 1.0)
    _end(ring, 1, sampled=False)
    assert [(ended.route, ended.status, ended.trace_id) for ended in ring.drain()] == [("/x", 200, 1)]
    assert ring.drain() == []
    assert ring.read() == []


def test_what_is_kept_is_bounded() -> None:
    ring = Ring(100, 100, 1.0)
    for trace_id in range(10_000):
        _end(ring, trace_id, status=500)
        if trace_id % 50 == 0:
            ring.drain()
    assert len(ring.read()) <= 200
