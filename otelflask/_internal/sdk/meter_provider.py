"""The meter provider: capped attribute sets, fork-safe sums, and histograms that are cheap to record.

Reaches into the SDK's private parts in one place, which is why the SDK is
pinned: the specification's cardinality limit is not in it yet (Metrics SDK,
"Cardinality limits"), a forked child exports its parent's sums again, and
each record hashes its attributes and looks up its views anew.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, NoOpMeter
from opentelemetry.sdk import metrics as sdk_metrics
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.metrics._internal._view_instrument_match import _ViewInstrumentMatch
from opentelemetry.sdk.metrics._internal.instrument import _Synchronous
from opentelemetry.sdk.metrics._internal.measurement import Measurement
from opentelemetry.sdk.metrics._internal.measurement_consumer import SynchronousMeasurementConsumer
from opentelemetry.sdk.metrics._internal.metric_reader_storage import MetricReaderStorage
from opentelemetry.sdk.metrics.export import MetricReader, MetricsData

from otelflask._internal import clock, guard
from otelflask._internal.attribute_layers import Layer
from otelflask._internal.lifecycle.worker import Worker
from otelflask._internal.limits import OVERFLOW_ATTRIBUTES
from otelflask._internal.sdk.guarded import flushed, provided
from otelflask._internal.sdk.meter import Meter

_OVERFLOW_KEY = ("otel.metric.overflow",)


class _CappedSets(dict[Any, Any]):
    """The SDK's attribute set → aggregation; above the cap every new set is the overflow set."""

    def __init__(self, match: Any, cap: int) -> None:
        super().__init__()
        self._match = match
        self._cap = cap

    def __setitem__(self, key: Any, aggregation: Any) -> None:
        if len(self) < self._cap - 1:
            super().__setitem__(key, aggregation)
        elif _OVERFLOW_KEY not in self:
            aggregation._attributes = dict(OVERFLOW_ATTRIBUTES)
            super().__setitem__(_OVERFLOW_KEY, aggregation)
            guard.say(
                f"overflow:{self._match._name}",
                "metric %s has more than %d attribute sets; further ones are summed under otel.metric.overflow",
                self._match._name,
                self._cap,
            )

    def __missing__(self, key: Any) -> Any:
        return self[_OVERFLOW_KEY]


class _Storage(MetricReaderStorage):
    """The SDK's storage, with capped attribute sets."""

    cap = 2_000

    def _get_or_init_view_instrument_match(self, instrument: Any) -> list[_ViewInstrumentMatch]:
        matches = super()._get_or_init_view_instrument_match(instrument)
        for match in matches:
            if type(match._attributes_aggregation) is dict:
                with match._lock:
                    if type(match._attributes_aggregation) is dict:
                        capped = _CappedSets(match, self.cap)
                        dict.update(capped, match._attributes_aggregation)
                        match._attributes_aggregation = capped
        return matches


class _Consumer(SynchronousMeasurementConsumer):
    """The SDK's consumer, with our storages, and able to start anew after a fork."""

    def __init__(self, sdk_config: Any, readers: Sequence[MetricReader], cap: int) -> None:
        super().__init__(sdk_config, ())
        self._cap = cap
        for reader in readers:
            self.add_metric_reader(reader)

    def _storage(self, reader: Any) -> _Storage:
        storage = _Storage(self._sdk_config, reader._instrument_class_temporality, reader._instrument_class_aggregation)
        storage.cap = self._cap
        return storage

    def add_metric_reader(self, metric_reader: Any) -> None:
        with self._lock:
            self._reader_storages = {**self._reader_storages, metric_reader: self._storage(metric_reader)}

    def after_fork(self) -> None:
        # The SDK's own, which its other threads may have held.
        self._lock = threading.Lock()
        self._reader_storages = {reader: self._storage(reader) for reader in self._reader_storages}


class MeterProvider(SdkMeterProvider):
    """The SDK's meter provider with a cap on attribute sets and sums that a forked child starts at zero."""

    def __init__(self, *, metric_readers: Sequence[MetricReader], cap: int, **kwargs: Any) -> None:
        super().__init__(metric_readers=metric_readers, shutdown_on_exit=False, **kwargs)
        consumer = _Consumer(self._sdk_config, metric_readers, cap)
        self._measurement_consumer = consumer
        for reader in metric_readers:
            reader._set_collect_callback(consumer.collect)

    def get_meter(self, *arguments: Any, **options: Any) -> Any:
        make = functools.partial(super().get_meter, *arguments, **options)
        return provided(make, sdk_metrics.Meter, Meter, NoOpMeter(""))

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Collect and send now. Out: whether every reader did in time; the SDK's own does not ask them."""
        deadline = monotonic() + timeout_millis / 1000
        done = [self._flushed(reader, (deadline - monotonic()) * 1000) for reader in self._metric_readers]
        return all(done)

    @staticmethod
    def _flushed(reader: MetricReader, timeout_millis: float) -> bool:
        return flushed(reader.force_flush, max(0, int(timeout_millis)))

    def after_fork(self) -> None:
        """Forget what was counted before the fork: the parent reports it."""
        self._measurement_consumer.after_fork()


class BoundHistogram:
    """Records into one attribute set of one histogram.

    The set's aggregations are looked up once instead of at each record. Views,
    several readers and exemplar filters of the user's count as always. With a
    histogram that is not the SDK's, its own `record` is called.
    """

    __slots__ = ("_aggregations", "_attributes", "_consumer", "_histogram", "_storages")

    def __init__(self, histogram: Histogram, attributes: dict[str, Any]) -> None:
        self._histogram = histogram
        self._attributes = Layer(attributes)
        consumer = getattr(histogram, "_measurement_consumer", None)
        self._consumer = consumer if isinstance(consumer, SynchronousMeasurementConsumer) else None
        self._storages: Any = None
        self._aggregations: list[Any] = []

    def record(self, value: float, context: Context, sampled: bool) -> None:
        """In: the value, the context whose span an exemplar names, and whether that span is sampled."""
        consumer = self._consumer
        if consumer is None:
            self._histogram.record(value, self._attributes, context)
            return
        if self._storages is not consumer._reader_storages:
            self._bind(value, context)
            return
        now = clock.time_ns()
        exemplar_filter = consumer._sdk_config.exemplar_filter
        if type(exemplar_filter) is sdk_metrics.TraceBasedExemplarFilter:
            exemplar = sampled
        else:
            exemplar = exemplar_filter.should_sample(value, now, self._attributes, context)
        measurement = _Measurement(value, now, self._histogram, context, self._attributes)
        for aggregation in self._aggregations:
            aggregation.aggregate(measurement, exemplar)

    def _bind(self, value: float, context: Context) -> None:
        """Record the SDK's way, which makes the aggregations, then remember them."""
        consumer = self._consumer
        histogram = self._histogram
        assert consumer is not None
        if not isinstance(histogram, _Synchronous) or not histogram._is_enabled():
            self._histogram.record(value, self._attributes, context)
            return
        storages = consumer._reader_storages
        before = {id(aggregation) for aggregation in self._found(storages)}
        self._histogram.record(value, self._attributes, context)
        found = self._found(storages)
        if found or before:
            self._aggregations = found
            self._storages = storages

    def _found(self, storages: Any) -> list[Any]:
        found = []
        for storage in storages.values():
            for match in storage._instrument_view_instrument_matches.get(self._histogram, ()):
                kept = match._view._attribute_keys
                wanted = {k: v for k, v in self._attributes.items() if kept is None or k in kept}
                for aggregation in list(match._attributes_aggregation.values()):
                    if aggregation._attributes == wanted:
                        found.append(aggregation)
                        break
                else:
                    overflow = match._attributes_aggregation.get(_OVERFLOW_KEY)
                    if overflow is not None:
                        found.append(overflow)
        return found


class _Measurement:
    """The SDK's Measurement without cleaning attributes that are clean."""

    __slots__ = ("attributes", "context", "instrument", "time_unix_nano", "value")

    def __init__(self, value: float, now: int, instrument: Any, context: Context, attributes: dict[str, Any]) -> None:
        self.value = value
        self.time_unix_nano = now
        self.instrument = instrument
        self.context = context
        self.attributes = attributes


assert {"value", "time_unix_nano", "instrument", "context", "attributes"} == set(Measurement.__dataclass_fields__)


class PeriodicReader(MetricReader):
    """Collects every `interval` seconds in a thread of its own and hands the data on.

    Unlike the SDK's periodic reader it never exports in the caller's thread,
    its shutdown takes no longer than it is told, and it survives a fork.
    `send(seconds)` waits until what was handed on is sent, and says whether it was.
    """

    def __init__(
        self,
        deliver: Callable[[MetricsData], None],
        send: Callable[[float], bool],
        interval: float,
        preferred_temporality: dict[type, Any] | None,
        preferred_aggregation: dict[type, Any] | None,
    ) -> None:
        super().__init__(preferred_temporality=preferred_temporality, preferred_aggregation=preferred_aggregation)
        self._deliver = deliver
        self._send = send
        self._interval = interval
        self._worker = Worker("collect", self._work, interval, work_at_end=False)

    def start(self) -> None:
        """Start collecting; called again after a fork."""
        self._worker.after_fork()
        self._worker.start()

    def _work(self) -> float:
        self.collect_safely()
        return self._interval

    def collect_safely(self) -> None:
        """Collect now; what raises is said: a callback of the app's, or one that takes too long."""
        try:
            self.collect()
        except Exception:
            guard.say("collect", "a metric cannot be collected", exc_info=True)

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        self._deliver(metrics_data)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        deadline = monotonic() + timeout_millis / 1000
        self.collect_safely()
        return self._send(max(0.0, deadline - monotonic()))

    def collect_last(self) -> None:
        """Collect once more, and never again."""
        if self._worker.closing_at is None:
            self._worker.begin_close(monotonic())
            self.collect_safely()

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        deadline = monotonic() + timeout_millis / 1000
        self.collect_last()
        self._send(max(0.0, deadline - monotonic()))
