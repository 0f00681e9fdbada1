"""Like `test_contract`, for OpenTelemetry's SDK for metrics."""

from __future__ import annotations

from opentelemetry import context as context_api
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from otelflask._internal.compat import otel_exporters, otel_metrics

OTHER = Resource({"service.name": "other"})


def test_a_meter_provider_whose_attribute_sets_are_capped_and_forgotten_after_a_fork() -> None:
    reader = InMemoryMetricReader()
    told: list[tuple[str, int]] = []
    provider = otel_metrics.ClearedMeterProvider(
        metric_readers=[reader], cap=3, overflowed=lambda name, cap: told.append((name, cap))
    )
    counter = provider.get_meter("shop").create_counter("lamps")
    for color in ("red", "green", "blue", "white"):
        counter.add(1, {"color": color})
    assert provider.readers == [reader]
    assert told == [("lamps", 3)]
    assert sorted(_values(reader)) == [1, 1, 2]
    provider.set_resource(OTHER)
    assert otel_metrics.resource_of(provider) is OTHER
    provider.after_fork()
    counter.add(1, {"color": "red"})
    assert _values(reader) == [1]
    provider.shutdown()


def _values(reader: InMemoryMetricReader) -> list[float]:
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    return [point.value for point in metric.data.data_points]  # type: ignore[union-attr]


def test_the_aggregations_of_an_attribute_set() -> None:
    exemplars = AlwaysOffExemplarFilter()
    provider = MeterProvider([InMemoryMetricReader()], exemplar_filter=exemplars, shutdown_on_exit=False)
    histogram = provider.get_meter("shop").create_histogram("durations")
    consumer = otel_metrics.consumer_of(histogram)
    assert otel_metrics.is_enabled(histogram)
    assert otel_metrics.exemplar_filter_of(consumer) is exemplars
    storages = otel_metrics.storages_of(consumer)
    assert not otel_metrics.aggregations_of(storages, histogram, {"route": "/"})
    histogram.record(1.0, {"route": "/"})
    (aggregation,) = otel_metrics.aggregations_of(storages, histogram, {"route": "/"})
    aggregation.aggregate(otel_metrics.Measurement(2.0, 1, histogram, context_api.get_current(), {}), False)
    provider.shutdown()
    assert otel_metrics.consumer_of(object()) is None
    assert not otel_metrics.is_enabled(object())


def test_a_value_that_is_added_to_buckets_is_as_the_sdk_aggregates_it() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    ours, theirs = (provider.get_meter("shop").create_histogram(name) for name in ("ours", "theirs"))
    storages = otel_metrics.storages_of(otel_metrics.consumer_of(ours))
    ours.record(1.0)
    theirs.record(1.0)
    (add,) = otel_metrics.adders_of(otel_metrics.aggregations_of(storages, ours, {}))
    for value, bucket in ((0.0, 0), (7.0, 2), (50_000.0, 15)):
        assert add(value) == bucket
        theirs.record(value)
    data = reader.get_metrics_data()
    assert data is not None
    points = [metric.data.data_points[0] for metric in data.resource_metrics[0].scope_metrics[0].metrics]
    one, other = ((p.count, p.sum, p.min, p.max, p.bucket_counts) for p in points)  # type: ignore[union-attr]
    assert one == other
    counter = provider.get_meter("shop").create_counter("count")
    counter.add(1)
    assert otel_metrics.adders_of(otel_metrics.aggregations_of(storages, counter, {})) == []
    assert otel_metrics.views_of(otel_metrics.consumer_of(ours)) == ()
    provider.shutdown()


def test_a_measurement_has_what_ours_has() -> None:
    names = {"value", "time_unix_nano", "instrument", "context", "attributes"}
    assert set(otel_metrics.Measurement.__dataclass_fields__) == names


def test_what_an_exporter_of_metrics_prefers() -> None:
    assert len(otel_metrics.preferences_of(otel_exporters.HTTP_EXPORTERS["metrics"]())) == 2
