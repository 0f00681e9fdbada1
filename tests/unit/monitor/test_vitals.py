"""How one worker is."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import INVALID_SPAN

from otelflask.monitor.tiles import SLOT_S, SLOTS
from otelflask.monitor.vitals import ACTIVE, Vitals
from otelflask.pipeline.metrics import BoundHistogram, span_context_of
from otelflask.pipeline.redaction import Scrubber


class _Destination:
    endpoint = "http://user:pa55word@collector.example:4318/v1/traces"


class _Queue:
    name = "spans"
    capacity = 100
    destination = _Destination()

    def __init__(self) -> None:
        self.counts = Counter({"delivered": 7, "dropped:queue_full": 3, "rejected": 2})

    def __len__(self) -> int:
        return 5


def _vitals(provider: Any = None) -> Vitals:
    return Vitals(provider or MeterProvider(), [_Queue()], Scrubber(), lambda: {"health": []})  # type: ignore[list-item]


def test_requests_in_flight_are_read_from_the_metrics() -> None:
    provider = MeterProvider()
    active = provider.get_meter("http").create_up_down_counter(ACTIVE)
    vitals = _vitals(provider)
    active.add(2, {"http.request.method": "GET"})
    active.add(1, {"http.request.method": "POST"})
    found = vitals.now(time.time())
    assert (found.active, found.waiting, found.dropped) == (3, 5, 5)
    assert found.memory > 1_000_000


def test_a_request_records_its_duration_for_the_apps_readers_alone() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    vitals = _vitals(provider)
    duration = provider.get_meter("http").create_histogram("http.server.request.duration")
    bound = BoundHistogram(duration, {"http.route": "/x"})
    for _ in range(3):
        bound.record(0.1, span_context_of(INVALID_SPAN), False)
    assert vitals._reader is not None
    assert vitals._reader.sum_of("http.server.request.duration") == 0
    data = reader.get_metrics_data()
    assert data is not None
    assert data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0].count == 3  # type: ignore[union-attr]


def test_an_hour_is_kept_and_no_more() -> None:
    vitals = _vitals()
    for number in range(SLOTS + 20):
        vitals.take(1_000_000.0 + number * SLOT_S)
    assert len(vitals.series()) == SLOTS


def test_a_meter_provider_of_another_kind_is_no_obstacle() -> None:
    assert _vitals(object()).now(time.time()).active == 0


def test_a_callback_that_raises_costs_the_figure_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    vitals = _vitals()

    def fail(name: str) -> int:
        raise RuntimeError("callback")

    monkeypatch.setattr(vitals._reader, "sum_of", fail)
    assert vitals.now(time.time()).waiting == 5


def test_threads_are_told_by_name_and_what_was_lost_by_reason_without_secrets() -> None:
    ready, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (ready.set(), done.wait()), name="busy with lamps")
    thread.start()
    try:
        ready.wait()
        found = _vitals().describe()
    finally:
        done.set()
        thread.join()
    assert ("busy with lamps", 1) in found["threads"]
    (queue,) = found["queues"]
    assert queue["lost"] == {"dropped:queue_full": 3, "rejected": 2}
    assert queue["delivered"] == 7
    assert "pa55word" not in queue["to"]
    assert len(found["gc"]["generations"]) == 3
