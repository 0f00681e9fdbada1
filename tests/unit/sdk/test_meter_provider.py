"""The meter provider: a cardinality limit, and sums of its own process."""

from __future__ import annotations

import itertools
import os
from typing import Any

from opentelemetry.context import Context
from opentelemetry.instrumentation._semconv import HTTP_DURATION_HISTOGRAM_BUCKETS_NEW
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View

from otelflask._internal.metrics_page.endpoint import SnapshotReader
from otelflask._internal.sdk import durations
from otelflask._internal.sdk.bound_histogram import BoundHistogram
from otelflask._internal.sdk.meter_provider import MeterProvider
from otelflask.testing import CapturedTelemetry


def test_sets_beyond_the_cap_are_summed_in_the_overflow_set() -> None:
    telemetry = CapturedTelemetry(metric_sets=5)
    counter = telemetry.meter_provider.get_meter("m").create_counter("hits")
    for n in range(20):
        counter.add(1, {"n": n})
    points = telemetry.points("hits")
    assert len(points) == 5
    assert sum(p.value for p in points) == 20
    assert [p.value for p in points if p.attributes == {"otel.metric.overflow": True}] == [16]
    telemetry.close()


def test_a_reader_that_was_added_later_ends_with_the_provider() -> None:
    telemetry = CapturedTelemetry()
    reader = SnapshotReader()
    telemetry.meter_provider.add_metric_reader(reader)
    telemetry.close()
    assert reader.closed


def test_a_bound_histogram_counts_as_the_histogram_does(telemetry: CapturedTelemetry) -> None:
    histogram = telemetry.meter_provider.get_meter("m").create_histogram("time", unit="s")
    bound = BoundHistogram(histogram, {"route": "/a"})
    for value in (0.1, 0.2, 7.0):
        bound.record(value, Context(), False)
    histogram.record(1.0, {"route": "/a"})
    (point,) = telemetry.points("time")
    assert point.count == 4
    assert point.attributes == {"route": "/a"}


def test_views_and_readers_of_the_users_count_for_bound_histograms() -> None:
    first, second = InMemoryMetricReader(), InMemoryMetricReader()
    provider = MeterProvider(
        metric_readers=[first], cap=100, views=[View(instrument_name="time", name="renamed", attribute_keys={"kept"})]
    )
    bound = BoundHistogram(provider.get_meter("m").create_histogram("time"), {"kept": 1, "dropped": 2})
    bound.record(1, Context(), False)
    provider.add_metric_reader(second)
    bound.record(1, Context(), False)
    bound.record(1, Context(), False)
    counts = []
    for reader in (first, second):
        data = reader.get_metrics_data()
        assert data is not None
        (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
        assert metric.name == "renamed"
        (point,) = metric.data.data_points
        assert point.attributes == {"kept": 1}
        counts.append(point.count)  # type: ignore[union-attr]
    assert counts == [3, 2]
    provider.shutdown()


def test_a_forked_child_does_not_report_its_parents_counts(telemetry: CapturedTelemetry) -> None:
    from otelflask._internal.lifecycle import forks as lifecycle

    counter = telemetry.meter_provider.get_meter("m").create_counter("hits")
    counter.add(5)
    lifecycle.on_fork(telemetry.meter_provider)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        counter.add(1)
        os.write(write, str(sum(p.value for p in telemetry.points("hits"))).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    with os.fdopen(read) as pipe:
        assert pipe.read() == "1"
    assert [p.value for p in telemetry.points("hits")] == [5]


def test_durations_of_other_instrumentations_have_buckets_at_most_half_as_large_again() -> None:
    telemetry = CapturedTelemetry()
    meter = telemetry.meter_provider.get_meter("opentelemetry.instrumentation.requests")
    options: dict[str, Any] = {"explicit_bucket_boundaries_advisory": HTTP_DURATION_HISTOGRAM_BUCKETS_NEW}
    meter.create_histogram("http.client.request.duration", unit="s", **options).record(1.2)
    meter.create_histogram("theirs", unit="s", explicit_bucket_boundaries_advisory=[1.0, 2.0]).record(1.2)
    (client,) = telemetry.points("http.client.request.duration")
    bounds = client.explicit_bounds
    assert set(HTTP_DURATION_HISTOGRAM_BUCKETS_NEW) < set(bounds)
    assert all(upper <= 1.5 * lower for lower, upper in itertools.pairwise(bounds))
    (theirs,) = telemetry.points("theirs")
    assert theirs.explicit_bounds == (1.0, 2.0)
    telemetry.close()


def test_the_boundaries_of_durations_hold_those_of_the_conventions() -> None:
    assert tuple(map(float, HTTP_DURATION_HISTOGRAM_BUCKETS_NEW)) == durations.HTTP_BY_CONVENTION
    assert {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0} < set(durations.DATABASE)
    for bounds in (durations.HTTP, durations.DATABASE):
        assert all(lower < upper <= 1.5 * lower + 1e-9 for lower, upper in itertools.pairwise(bounds))
    assert all(lower < upper <= 2 * lower for lower, upper in itertools.pairwise(durations.JOB))
