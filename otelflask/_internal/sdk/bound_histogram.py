"""A histogram bound to one attribute set, which is looked up once."""

from __future__ import annotations

from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import TraceBasedExemplarFilter

from otelflask._internal import clock
from otelflask._internal.attribute_layers import Layer
from otelflask._internal.compat.otel_metrics import (
    aggregations_of,
    consumer_of,
    exemplar_filter_of,
    is_enabled,
    storages_of,
)


class BoundHistogram:
    """Records into one attribute set of a histogram.

    The set's aggregations are looked up once instead of at each measurement. The user's views, readers
    and exemplar filters work as usual. For a histogram that is not the SDK's, its own `record` is
    called.

    Args:
        histogram: The histogram.
        attributes: The attribute set. It must not change.
    """

    __slots__ = ("_aggregations", "_consumer", "_histogram", "_storages", "attributes")

    def __init__(self, histogram: Histogram, attributes: dict[str, Any]) -> None:
        self._histogram = histogram
        #: The attribute set. It does not change.
        self.attributes = Layer(attributes)
        self._consumer = consumer_of(histogram)
        self._storages: Any = None
        self._aggregations: list[Any] = []

    def record(self, value: float, context: Context, sampled: bool) -> None:
        """Record a value.

        Args:
            value: The value.
            context: The context with the exemplar's span.
            sampled: Whether that span is sampled.
        """
        consumer = self._consumer
        if consumer is None:
            self._histogram.record(value, self.attributes, context)
            return
        if self._storages is not storages_of(consumer):
            self._bind(value, context)
            return
        now = clock.time_ns()
        exemplar_filter = exemplar_filter_of(consumer)
        if type(exemplar_filter) is TraceBasedExemplarFilter:
            exemplar = sampled
        else:
            exemplar = exemplar_filter.should_sample(value, now, self.attributes, context)
        measurement = _Measurement(value, now, self._histogram, context, self.attributes)
        for aggregation in self._aggregations:
            aggregation.aggregate(measurement, exemplar)

    def _bind(self, value: float, context: Context) -> None:
        """Record through the SDK, which makes the aggregations, and cache them."""
        histogram = self._histogram
        storages = storages_of(self._consumer)
        if not storages:
            # Nobody reads.
            self._storages, self._aggregations = storages, []
            return
        if not is_enabled(histogram):
            histogram.record(value, self.attributes, context)
            return
        before = aggregations_of(storages, histogram, self.attributes)
        histogram.record(value, self.attributes, context)
        found = aggregations_of(storages, histogram, self.attributes)
        if found or before:
            self._aggregations = found
            self._storages = storages


class _Measurement:
    """The SDK's Measurement without another check of attributes that are valid."""

    __slots__ = ("attributes", "context", "instrument", "time_unix_nano", "value")

    def __init__(self, value: float, now: int, instrument: Any, context: Context, attributes: dict[str, Any]) -> None:
        self.value = value
        self.time_unix_nano = now
        self.instrument = instrument
        self.context = context
        self.attributes = attributes
