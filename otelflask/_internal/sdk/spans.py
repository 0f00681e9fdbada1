"""Our spans: a subclass of the SDK's, without parts that nobody reads.

Samplers, span processors and exporters of the user see what they always see. `Span` differs only
in cost: attributes are kept in layers (see ``attribute_layers``), events and links are made on
first use, and the ended span itself is passed on instead of a copy.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from otelflask._internal import clock, guard
from otelflask._internal.attribute_layers import Layer, LazyLayers, made, merged
from otelflask._internal.compat.otel_trace import (
    ENDING,
    LayeredSpan,
    asks_nobody_else,
    is_tracer_enabled,
    parts_of_tracer,
    processors_of_list,
    sampler_of_roots,
    samples_children,
    samples_roots,
    scope_of_tracer,
)
from otelflask._internal.exceptions.attributes import exception_layer
from otelflask._internal.guard import safe_text
from otelflask._internal.limits import MAX_ITEMS, cut
from otelflask._internal.randomness import getrandbits
from otelflask._internal.sdk.ids import are_random
from otelflask._internal.sdk.tracer_provider import AppSpan, SpanProcessors, no_span
from otelflask._internal.sdk.user_parts import notify_started, processor_failed

_EMPTY = Context()
_SAMPLED_RANDOM = TraceFlags(TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID)


class Span(LayeredSpan, AppSpan):
    """A span with attributes in layers."""

    def set_attribute(self, key: str, value: Any) -> None:
        if self.ended_at is not None:
            return
        if type(key) is not str:
            # A subclass of str may hash in its own way.
            key = str.__str__(safe_text(key))
        own, limits = self.own, self.limits
        if key not in own and len(own) >= (limits.max_span_attributes or 128):
            self.dropped += 1
            return
        kind = type(value)
        if kind is str:
            limit = limits.max_span_attribute_length
            own[key] = value if limit is None or len(value) <= limit else cut(value, limit)
        elif kind is int or kind is bool or kind is float:
            own[key] = value
        else:
            cleaned = clean_value(value, limits.max_span_attribute_length)
            if cleaned is not None:
                own[key] = cleaned

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        guard.call_hook("mapping of attributes", self._set_attributes, attributes)

    def _set_attributes(self, attributes: Mapping[str, Any]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_known_event(self, name: str, layer: Layer, timestamp: int) -> None:
        """Add an event with valid attributes, at a time in epoch nanoseconds. They must not change afterwards."""
        limit = self.limits.max_event_attributes
        if limit is None or len(layer) <= limit:
            # A copy: a processor of the user may change it, and all exceptions of this kind have the same layer.
            self.add_made_event(sdk_trace.Event(name, dict(layer), timestamp))
        else:
            self.add_event(name, layer, timestamp)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        if not isinstance(exception, BaseException):
            guard.log("record_exception", "record_exception takes an exception, not a %s", type(exception).__name__)
            return
        guard.call_hook("record of an exception", self._record, exception, attributes, timestamp)

    def _record(self, error: BaseException, attributes: Mapping[str, Any] | None, timestamp: int | None) -> None:
        self.add_event("exception", {**exception_layer(error), **dict(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        if self.ended_at is not None:
            return
        self.ended_at = clock.time_ns() if end_time is None else end_time
        processor = self.tracer.span_processor
        if type(processor) is SpanProcessors:
            if processor.listeners_before_end:
                processor.notify_ending(self)
            # The list's `on_end` would be one more call.
            guard.call_each(processor.processors, "on_end", self, processor_failed)
        else:
            guard.call_each((processor,), ENDING, self, processor_failed)
            guard.call_each((processor,), "on_end", self, processor_failed)


def clean_value(value: Any, length: int | None) -> Any:
    """A value that OTLP can carry: scalars and sequences of scalars as they are, else text.

    Args:
        value: The value.
        length: The longest text, in characters; None for no limit.
    """
    return guard.attempt(_clean_value, value, length, on_error=lambda error: _cut(safe_text(value), length))


def _cut(text: str, length: int | None) -> str:
    return text if length is None else cut(text, length)


def _clean_value(value: Any, length: int | None) -> Any:
    if isinstance(value, (str, bool, int, float)):
        # Its own __str__ is the app's code.
        return _cut(str.__str__(value), length) if isinstance(value, str) else value
    if isinstance(value, bytes):
        return _cut(value.decode("utf-8", "replace"), length)
    if isinstance(value, (list, tuple)):
        return [clean_value(item, length) for item in value[:MAX_ITEMS]]
    if value is None:
        return None
    return _cut(safe_text(value), length)


#: What `SpanStarter.stock_parts` returns.
_NUMBER_OF_PARTS = 3


def _stock_parts(tracer: trace_api.Tracer) -> tuple[Any, Any, Any] | None:
    """The processors, sampler and id generator of a tracer; None where the user's code must start its spans."""
    if not isinstance(tracer, sdk_trace.Tracer):
        return None
    parts = tracer.span_processor, tracer.sampler, tracer.id_generator
    are_stock = type(parts[0]) is SpanProcessors and asks_nobody_else(parts[1]) and are_random(parts[2])
    return parts if are_stock else None


class SpanStarter:
    """Starts spans of one instrumentation scope.

    With the SDK's tracer it makes a `Span`. With any other tracer it calls that tracer's `start_span`.

    Args:
        tracer: A tracer of the provider.
        trust_remote_sampling: Whether a caller's sampling decision counts.
    """

    def __init__(self, tracer: trace_api.Tracer, trust_remote_sampling: bool = False) -> None:
        self._tracer: Any = tracer
        self._sdk = isinstance(tracer, sdk_trace.Tracer)
        self._trust = trust_remote_sampling
        self._stock = _stock_parts(tracer)
        self._samples_all_roots = self._stock is not None and samples_roots(self._stock[1])

    @property
    def scope(self) -> InstrumentationScope | None:
        """The scope of its spans; None for a tracer that is not the SDK's."""
        return scope_of_tracer(self._tracer) if self._sdk else None

    def stock_parts(self) -> tuple[Any, ...]:
        """What decides about its spans, to be compared with an earlier answer: processors, sampler, id generator.

        Returns:
            The tuple of processors, which is replaced when one is added; sampler; id generator. Nothing where
            its tracer makes no spans, or where the user's code must start them.
        """
        tracer, stock = self._tracer, self._stock
        if stock is None or tracer.span_processor is not stock[0] or not is_tracer_enabled(tracer):
            return ()
        return parts_of_tracer(tracer)

    def has_parts(self, parts: tuple[Any, ...]) -> bool:
        """Whether `stock_parts` would still return these very objects."""
        tracer, stock = self._tracer, self._stock
        if stock is None or tracer.span_processor is not stock[0] or not is_tracer_enabled(tracer):
            return not parts
        # One by one and by identity: a processor of the user may have an `__eq__` of its own.
        return (
            len(parts) == _NUMBER_OF_PARTS
            and processors_of_list(stock[0]) is parts[0]
            and tracer.sampler is parts[1]
            and tracer.id_generator is parts[2]
        )

    @property
    def keeps_what_is_sampled(self) -> bool:
        """Whether each span within a sampled span is sampled, and has a random id."""
        tracer, stock = self._tracer, self._stock
        is_unchanged = stock is not None and tracer.sampler is stock[1] and tracer.id_generator is stock[2]
        return is_unchanged and samples_children(tracer.sampler)

    def start(
        self,
        name: str,
        kind: SpanKind,
        layers: LazyLayers,
        start_time: int,
        context: Context | None = None,
        links: Sequence[trace_api.Link] = (),
    ) -> trace_api.Span:
        """Start a span. An exception of a user's sampler or processor is logged.

        Args:
            name: The name.
            kind: The kind.
            layers: The attributes, or what makes them when something reads them.
            start_time: Epoch nanoseconds.
            context: The parent's context (default: the current one).
            links: Links.
        """
        tracer, stock = self._tracer, self._stock
        if (
            stock is not None
            and tracer.span_processor is stock[0]
            and tracer.sampler is stock[1]
            and tracer.id_generator is stock[2]
        ):
            if self._samples_all_roots and context is not None and not context and is_tracer_enabled(tracer):
                return self._new_trace(name, kind, layers, start_time)
            return self._start(name, kind, layers, start_time, context, links)
        given = (name, kind, layers, start_time, context, links)
        return guard.attempt(self._start, *given, on_error=functools.partial(no_span, context))

    def _new_trace(self, name: str, kind: SpanKind, layers: LazyLayers, start_time: int) -> Span:
        """Start a span without a parent, as most requests have it, where all of them are sampled."""
        tracer = self._tracer
        context = SpanContext(getrandbits(128) or 1, getrandbits(64) or 1, False, _SAMPLED_RANDOM)
        span = Span(tracer, name, context, None, kind, layers, start_time)
        processors = tracer.span_processor
        if processors.listeners_before_end:
            processors.on_start(span, _EMPTY)
        return span

    def _start(
        self,
        name: str,
        kind: SpanKind,
        layers: LazyLayers,
        start_time: int,
        context: Context | None,
        links: Sequence[trace_api.Link],
    ) -> trace_api.Span:
        tracer = self._tracer
        if not self._sdk:
            started: trace_api.Span = tracer.start_span(
                name, context, kind=kind, attributes=merged(made(layers)), links=links, start_time=start_time
            )
            return started
        # An empty context has no span.
        parent: SpanContext | None = (
            None if context is not None and not context else trace_api.get_current_span(context).get_span_context()
        )
        if not is_tracer_enabled(tracer):
            return trace_api.NonRecordingSpan(parent or trace_api.INVALID_SPAN_CONTEXT)
        generator = tracer.id_generator
        if parent is None or not parent.is_valid:
            parent = None
            trace_id = generator.generate_trace_id()
            random_id = generator.is_trace_id_random()
        else:
            trace_id = parent.trace_id
            random_id = bool(parent.trace_flags & TraceFlags.RANDOM_TRACE_ID)

        sampler = tracer.sampler
        if parent is not None and parent.is_remote and not self._trust and isinstance(sampler, sampling.ParentBased):
            # The caller is not trusted: its flag neither suppresses nor forces our spans.
            sampler = sampler_of_roots(sampler)
        elif isinstance(sampler, sampling.ParentBased) and parent is None:
            sampler = sampler_of_roots(sampler)
        trace_state = parent.trace_state if parent is not None else None
        extra: Mapping[str, Any] | None = None
        if sampler is sampling.ALWAYS_ON:
            recording = sampled = True
        else:
            result = sampler.should_sample(context, trace_id, name, kind, merged(made(layers)), links)
            recording = result.decision.is_recording()
            sampled = result.decision.is_sampled()
            trace_state = result.trace_state
            extra = result.attributes
        if sampled:
            flags = _SAMPLED_RANDOM if random_id else TraceFlags(TraceFlags.SAMPLED)
        else:
            flags = TraceFlags(TraceFlags.RANDOM_TRACE_ID if random_id else TraceFlags.DEFAULT)
        span_context = SpanContext(trace_id, generator.generate_span_id(), False, flags, trace_state)
        if not recording:
            return trace_api.NonRecordingSpan(span_context)
        span = Span(tracer, name, span_context, parent, kind, layers, start_time)
        if extra:
            # A sampler returns the attributes that it was given, and its own.
            known = merged(span.layers)
            for key, value in extra.items():
                if key not in known:
                    span.set_attribute(key, value)
        for link in links:
            span.add_link(link.context, link.attributes)
        processor = tracer.span_processor
        if type(processor) is SpanProcessors:
            if processor.listeners_before_end:
                processor.on_start(span, context)
        else:
            notify_started((processor,), span, context)
        return span
