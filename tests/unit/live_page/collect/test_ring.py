"""What one worker keeps."""

from __future__ import annotations

from types import SimpleNamespace

from otelflask._internal.live_page.collect.ring import Ring


def _ring(size: int) -> Ring:
    return Ring(size, size, 1.0, lambda: None)


def _take(ring: Ring, trace_id: int) -> None:
    ring.take_span((("scope", "", "", ()), b"span", trace_id))


def _trace_ids(ring: Ring) -> list[int]:
    return [item[-1] for item in ring.read()]


def _end(ring: Ring, trace_id: int, *, status: int = 200, seconds: float = 0.01, sampled: bool = True) -> None:
    if sampled:
        _take(ring, trace_id)
    record = SimpleNamespace(
        span_context=SimpleNamespace(trace_id=trace_id),
        started_at=10**18,
        duration=seconds,
        route="/x",
        status=status,
        error_type=str(status) if status >= 500 else None,
    )
    ring.closed(record)  # type: ignore[arg-type]


def test_the_newest_are_kept() -> None:
    ring = _ring(10)
    for trace_id in range(1, 31):
        _end(ring, trace_id)
    assert _trace_ids(ring) == list(range(21, 31))


def test_requests_that_failed_or_were_slow_stay_with_all_that_belongs_to_them() -> None:
    ring = _ring(10)
    _take(ring, 1)
    _end(ring, 1, status=500)
    _take(ring, 2)
    _end(ring, 2, seconds=1.5)
    ring.drain()
    for trace_id in range(3, 50):
        _end(ring, trace_id)
    kept = _trace_ids(ring)
    assert kept[:4] == [1, 1, 2, 2]


def test_requests_whose_spans_are_not_sampled_are_told_too() -> None:
    ring = _ring(10)
    _end(ring, 1, sampled=False)
    assert [(ended.route, ended.status, ended.trace_id) for ended in ring.drain()] == [("/x", 200, 1)]
    assert ring.drain() == []
    assert ring.read() == []


def test_what_is_kept_is_bounded() -> None:
    ring = _ring(100)
    for trace_id in range(10_000):
        _end(ring, trace_id, status=500)
        if trace_id % 50 == 0:
            ring.drain()
    assert len(ring.read()) <= 200
