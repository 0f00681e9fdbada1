"""A histogram bound to one attribute set, which is looked up once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import Counter, Histogram
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, AlwaysOnExemplarFilter, TraceBasedExemplarFilter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from otelflask._internal import clock
from otelflask._internal.attribute_layers import Layer
from otelflask._internal.compat.otel_metrics import (
    adders_of,
    aggregations_of,
    consumer_of,
    exemplar_filter_of,
    is_enabled,
    offer_exemplar,
    storages_of,
    views_of,
)

_STOCK_FILTERS = (TraceBasedExemplarFilter, AlwaysOffExemplarFilter, AlwaysOnExemplarFilter)


class BoundHistogram:
    """Records into one attribute set of a histogram.

    The set's aggregations are looked up once instead of at each measurement. The user's views, readers
    and exemplar filters work as usual. For a histogram that is not the SDK's, its own `record` is
    called.

    Args:
        histogram: The histogram.
        attributes: The attribute set. It must not change.
    """

    __slots__ = (
        "_adders",
        "_aggregations",
        "_consumer",
        "_exemplars",
        "_histogram",
        "_storages",
        "_takes_exemplars",
        "attributes",
    )

    def __init__(self, histogram: Histogram | Counter, attributes: dict[str, Any]) -> None:
        self._histogram: Any = histogram
        #: The attribute set. It does not change.
        self.attributes = Layer(attributes)
        self._consumer = consumer_of(histogram)
        self._storages: Any = None
        self._aggregations: list[Any] = []
        #: Add a value to each of the aggregations; empty where not all have explicit buckets.
        self._adders: list[Callable[[float], int]] = []
        #: Bucket → value, time, trace id and span id.
        self._exemplars: dict[int, tuple[float, int, int, int]] = {}
        #: Whether each value may be an exemplar, or none; None where the span decides.
        self._takes_exemplars: bool | None = None

    def record(self, value: float, context: Context, sampled: bool) -> None:
        """Record a value.

        Args:
            value: The value.
            context: The context with the exemplar's span.
            sampled: Whether that span is sampled.
        """
        consumer = self._consumer
        if consumer is None:
            self._measure(value, context)
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

    def add(self, value: float, at: int, trace_id: int, span_id: int, sampled: bool) -> None:
        """Record a value that was measured earlier, for a histogram of our own provider.

        Args:
            value: The value.
            at: Epoch nanoseconds.
            trace_id: The trace of the exemplar's span.
            span_id: That span.
            sampled: Whether that span is sampled.
        """
        if self._storages is not storages_of(self._consumer):
            self._bind(value, _context_of(trace_id, span_id, sampled))
            return
        if self._takes_exemplars is not None:
            sampled = self._takes_exemplars
        place = -1
        for add in self._adders:
            place = add(value)
        if place >= 0:
            if sampled:
                # The last one of a bucket is its exemplar.
                self._exemplars[place] = (value, at, trace_id, span_id)
        elif self._aggregations:
            context = _context_of(trace_id, span_id, sampled)
            measurement = _Measurement(value, at, self._histogram, context, self.attributes)
            for aggregation in self._aggregations:
                aggregation.aggregate(measurement, sampled)

    def offer_exemplars(self) -> None:
        """Offer the exemplars of `add` to the reservoirs. They ask for them when metrics are collected."""
        exemplars, self._exemplars = self._exemplars, {}
        for value, at, trace_id, span_id in exemplars.values():
            context = _context_of(trace_id, span_id, True)
            for aggregation in self._aggregations:
                offer_exemplar(aggregation, value, at, self.attributes, context)

    def _measure(self, value: float, context: Context) -> None:
        """Measure by the instrument's own method."""
        self._histogram.record(value, self.attributes, context)

    def _bind(self, value: float, context: Context) -> None:
        """Record through the SDK, which makes the aggregations, and cache them."""
        histogram = self._histogram
        storages = storages_of(self._consumer)
        self._exemplars = {}
        if not storages:
            # Nobody reads.
            self._storages, self._aggregations, self._adders = storages, [], []
            return
        if not is_enabled(histogram):
            self._measure(value, context)
            return
        before = aggregations_of(storages, histogram, self.attributes)
        self._measure(value, context)
        found = aggregations_of(storages, histogram, self.attributes)
        if found or before:
            self._aggregations = found
            self._adders = adders_of(found)
            self._storages = storages
            exemplar_filter = type(exemplar_filter_of(self._consumer))
            if exemplar_filter is not TraceBasedExemplarFilter:
                self._takes_exemplars = exemplar_filter is AlwaysOnExemplarFilter


class BoundCounter(BoundHistogram):
    """The same for a counter: `record` adds to it."""

    __slots__ = ()

    def _measure(self, value: float, context: Context) -> None:
        self._histogram.add(value, self.attributes, context)


def measures_by_default(histogram: Histogram) -> bool:
    """Whether neither a view nor an exemplar filter of the user sees the measurements of a histogram."""
    consumer = consumer_of(histogram)
    return consumer is not None and type(exemplar_filter_of(consumer)) in _STOCK_FILTERS and not views_of(consumer)


def _context_of(trace_id: int, span_id: int, sampled: bool) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return set_span_in_context(NonRecordingSpan(SpanContext(trace_id, span_id, False, flags)), Context())


class _Measurement:
    """The SDK's Measurement without another check of attributes that are valid."""

    __slots__ = ("attributes", "context", "instrument", "time_unix_nano", "value")

    def __init__(self, value: float, now: int, instrument: Any, context: Context, attributes: dict[str, Any]) -> None:
        self.value = value
        self.time_unix_nano = now
        self.instrument = instrument
        self.context = context
        self.attributes = attributes
