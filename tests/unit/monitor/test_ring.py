"""What one worker keeps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from opentelemetry.trace import SpanKind, StatusCode

from otelflask.monitor.ring import Ring, trace_id_of


def _span(trace_id: int, *, kind: SpanKind = SpanKind.SERVER, failed: bool = False, seconds: float = 0.0) -> Any:
    return SimpleNamespace(
        kind=kind,
        status=SimpleNamespace(status_code=StatusCode.ERROR if failed else StatusCode.UNSET),
        start_time=0,
        end_time=int(seconds * 1e9),
        get_span_context=lambda: SimpleNamespace(trace_id=trace_id),
    )


def test_the_newest_are_kept() -> None:
    ring = Ring(10, 10, 1.0)
    for trace_id in range(1, 31):
        ring.on_end(_span(trace_id))
    assert [trace_id_of(item) for item in ring.read()] == list(range(21, 31))


def test_requests_that_failed_or_were_slow_stay_with_all_that_belongs_to_them() -> None:
    ring = Ring(10, 10, 1.0)
    ring.on_end(_span(1, kind=SpanKind.CLIENT))
    ring.on_end(_span(1, failed=True))
    ring.on_end(_span(2, kind=SpanKind.CLIENT))
    ring.on_end(_span(2, seconds=1.5))
    ring.drain()
    for trace_id in range(3, 50):
        ring.on_end(_span(trace_id))
    kept = [trace_id_of(item) for item in ring.read()]
    assert kept[:4] == [1, 1, 2, 2]


def test_what_is_kept_is_bounded() -> None:
    ring = Ring(100, 100, 1.0)
    for trace_id in range(10_000):
        ring.on_end(_span(trace_id, failed=True))
        if trace_id % 50 == 0:
            ring.drain()
    assert len(ring.read()) <= 200
