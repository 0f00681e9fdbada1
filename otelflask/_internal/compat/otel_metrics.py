"""OpenTelemetry's SDK for metrics: cardinality limits, sums that start at zero after a fork, cached aggregations.

The SDK does not have the specification's cardinality limit yet (Metrics SDK, "Cardinality
limits"). A forked child would export its parent's sums again. Each measurement would hash its
attributes and look up its views. Sources: ``opentelemetry.sdk.metrics._internal``,
``opentelemetry.sdk.metrics.export``.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics._internal._view_instrument_match import _ViewInstrumentMatch
from opentelemetry.sdk.metrics._internal.aggregation import _ExplicitBucketHistogramAggregation
from opentelemetry.sdk.metrics._internal.exemplar import Exemplar
from opentelemetry.sdk.metrics._internal.instrument import _Synchronous
from opentelemetry.sdk.metrics._internal.measurement import Measurement
from opentelemetry.sdk.metrics._internal.measurement_consumer import SynchronousMeasurementConsumer
from opentelemetry.sdk.metrics._internal.metric_reader_storage import MetricReaderStorage
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader, MetricsData
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource

from otelflask._internal.limits import OVERFLOW_ATTRIBUTES

__all__ = [
    "ClearedMeterProvider",
    "Exemplar",
    "Measurement",
    "adders_of",
    "aggregations_of",
    "consumer_of",
    "exemplar_filter_of",
    "is_enabled",
    "offer_exemplar",
    "preferences_of",
    "resource_of",
    "storages_of",
    "views_of",
]

#: Called with the name of a metric that exceeds its cardinality limit, and with the limit.
Overflowed = Callable[[str, int], object]
_OVERFLOW_KEY = ("otel.metric.overflow",)
#: A consumer's storages by reader. The dict is replaced when a reader is added, and after a fork.
storages_of: Callable[[Any], dict[Any, Any]] = attrgetter("_reader_storages")
#: The exemplar filter of a consumer.
exemplar_filter_of: Callable[[Any], Any] = attrgetter("_sdk_config.exemplar_filter")
#: The views of a consumer.
views_of: Callable[[Any], Sequence[View]] = attrgetter("_sdk_config.views")
#: The temporality and aggregation that an exporter prefers for each kind of instrument.
preferences_of: Callable[[MetricExporter], tuple[dict[type, Any], dict[type, Any]]] = attrgetter(
    "_preferred_temporality", "_preferred_aggregation"
)
#: The resource of a provider of the SDK.
resource_of: Callable[[Any], Resource] = attrgetter("_sdk_config.resource")


def consumer_of(instrument: Any) -> SynchronousMeasurementConsumer | None:
    """The measurement consumer of an instrument of the SDK; None for any other instrument."""
    consumer = getattr(instrument, "_measurement_consumer", None)
    return consumer if isinstance(consumer, SynchronousMeasurementConsumer) else None


def is_enabled(instrument: Any) -> bool:
    """Whether an instrument of the SDK measures; False for any other instrument."""
    return isinstance(instrument, _Synchronous) and instrument._is_enabled()


def aggregations_of(storages: dict[Any, Any], instrument: Any, attributes: dict[str, Any]) -> list[Any]:
    """The aggregations of one attribute set of an instrument, in all readers and views that have one."""
    found = []
    for storage in storages.values():
        for match in storage._instrument_view_instrument_matches.get(instrument, ()):
            kept = match._view._attribute_keys
            wanted = {k: v for k, v in attributes.items() if kept is None or k in kept}
            for aggregation in list(match._attributes_aggregation.values()):
                if aggregation._attributes == wanted:
                    found.append(aggregation)
                    break
            else:
                overflow = match._attributes_aggregation.get(_OVERFLOW_KEY)
                if overflow is not None:
                    found.append(overflow)
    return found


def adders_of(aggregations: Sequence[Any]) -> list[Callable[[float], int]]:
    """A function for each aggregation that adds a value as its `aggregate` does, without an exemplar.

    The function returns the bucket. The list is empty where an aggregation has no explicit buckets.
    """
    if any(type(aggregation) is not _ExplicitBucketHistogramAggregation for aggregation in aggregations):
        return []
    return [_adder_of(aggregation) for aggregation in aggregations]


def _adder_of(buckets: Any) -> Callable[[float], int]:
    boundaries, lock = buckets._boundaries, buckets._lock

    def add(value: float) -> int:
        place = bisect_left(boundaries, value)
        with lock:
            counts = buckets._value
            if counts is None:
                counts = buckets._value = buckets._get_empty_bucket_counts()
            counts[place] += 1
            buckets._sum += value
            if buckets._record_min_max:
                if value < buckets._min:
                    buckets._min = value
                if value > buckets._max:
                    buckets._max = value
        return place

    return add


def offer_exemplar(aggregation: Any, value: float, at: int, attributes: dict[str, Any], context: Context) -> None:
    """Offer an exemplar to the reservoir of an aggregation.

    Args:
        aggregation: The aggregation.
        value: The value.
        at: Epoch nanoseconds.
        attributes: The attributes of the measurement.
        context: The context with its span.
    """
    aggregation._reservoir.offer(value, at, attributes, context)


class _CappedSets(dict[Any, Any]):
    """The SDK's dict of attribute set → aggregation. Above the cap, each new set is the overflow set."""

    def __init__(self, match: Any, cap: int, overflowed: Overflowed) -> None:
        super().__init__()
        self._match = match
        self._cap = cap
        self._overflowed = overflowed

    def __setitem__(self, key: Any, aggregation: Any) -> None:
        if len(self) < self._cap - 1:
            super().__setitem__(key, aggregation)
        elif _OVERFLOW_KEY not in self:
            aggregation._attributes = dict(OVERFLOW_ATTRIBUTES)
            super().__setitem__(_OVERFLOW_KEY, aggregation)
            self._overflowed(self._match._name, self._cap)

    def __missing__(self, key: Any) -> Any:
        return self[_OVERFLOW_KEY]


class _Storage(MetricReaderStorage):
    """The SDK's storage with capped attribute sets."""

    cap: int
    overflowed: Overflowed

    def _get_or_init_view_instrument_match(self, instrument: Any) -> list[_ViewInstrumentMatch]:
        matches = super()._get_or_init_view_instrument_match(instrument)
        for match in matches:
            if type(match._attributes_aggregation) is dict:
                with match._lock:
                    if type(match._attributes_aggregation) is dict:
                        capped = _CappedSets(match, self.cap, self.overflowed)
                        dict.update(capped, match._attributes_aggregation)
                        match._attributes_aggregation = capped
        return matches


class _Consumer(SynchronousMeasurementConsumer):
    """The SDK's consumer with our storages. It can start again after a fork."""

    def __init__(self, sdk_config: Any, readers: Sequence[MetricReader], cap: int, overflowed: Overflowed) -> None:
        super().__init__(sdk_config, ())
        self._cap = cap
        self._overflowed = overflowed
        self.before_collect: list[Callable[[], object]] = []
        self.has_measured = False
        for reader in readers:
            self.add_metric_reader(reader)

    def _storage(self, reader: Any) -> _Storage:
        storage = _Storage(self._sdk_config, reader._instrument_class_temporality, reader._instrument_class_aggregation)
        storage.cap = self._cap
        storage.overflowed = self._overflowed
        return storage

    def add_metric_reader(self, metric_reader: Any) -> None:
        with self._lock:
            self._reader_storages = {**self._reader_storages, metric_reader: self._storage(metric_reader)}

    def collect(self, metric_reader: MetricReader, timeout_millis: float = 10_000) -> MetricsData | None:
        for settle in self.before_collect:
            settle()
        return super().collect(metric_reader, timeout_millis)

    def consume_measurement(self, measurement: Any) -> None:
        self.has_measured = True
        super().consume_measurement(measurement)

    def after_fork(self) -> None:
        self.has_measured = False
        # The SDK's lock: another of its threads may have held it at the fork.
        self._lock = threading.Lock()
        self._reader_storages = {reader: self._storage(reader) for reader in self._reader_storages}


class ClearedMeterProvider(MeterProvider):
    """The SDK's meter provider with a cardinality limit. In a forked child its sums start at zero.

    Args:
        metric_readers: The readers.
        cap: The most attribute sets of a metric.
        overflowed: Called when a metric exceeds the cap.
        **kwargs: Arguments of the SDK's provider.
    """

    def __init__(
        self, *, metric_readers: Sequence[MetricReader], cap: int, overflowed: Overflowed, **kwargs: Any
    ) -> None:
        super().__init__(metric_readers=metric_readers, shutdown_on_exit=False, **kwargs)
        self._consumer = _Consumer(self._sdk_config, metric_readers, cap, overflowed)
        self._measurement_consumer = self._consumer
        for reader in metric_readers:
            reader._set_collect_callback(self._consumer.collect)  # type: ignore[arg-type]

    def _handle_fork(self) -> None:
        # The SDK also looks for a new resource, which starts threads (as in `otel_trace`).
        self._lock = threading.Lock()
        self._meter_lock = threading.Lock()
        MeterProvider._all_metric_readers_lock = threading.Lock()

    @property
    def before_collect(self) -> list[Callable[[], object]]:
        """Called before each collection of a reader, in order, in its thread."""
        return self._consumer.before_collect

    @property
    def has_measured(self) -> bool:
        """Whether this process has measured anything by an instrument that is not asked."""
        return self._consumer.has_measured

    @property
    def readers(self) -> list[MetricReader]:
        """The metric readers."""
        return list(self._metric_readers)

    def set_resource(self, resource: Resource) -> None:
        """Replace the resource."""
        self._sdk_config.resource = resource

    def after_fork(self) -> None:
        """Forget what was counted before the fork. The parent reports it."""
        self._consumer.after_fork()
