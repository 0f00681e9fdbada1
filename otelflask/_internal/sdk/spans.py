"""Spans of ours: real SDK spans, made without what nobody looks at.

:class:`Span` is a subclass of the SDK's span, so that samplers, span
processors and exporters of the user's see what they always see. It differs in
cost only: attributes are kept in layers (see ``attribute_layers``), events and links
are made when the first one is added, and what ends is handed on itself
instead of a copy.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from otelflask._internal import clock, guard
from otelflask._internal.attribute_layers import Layer, Layers, merged
from otelflask._internal.compat.otel_trace import (
    ENDING,
    LayeredSpan,
    asks_nobody_else,
    is_tracer_enabled,
    sampler_of_roots,
)
from otelflask._internal.exceptions.attributes import exception_layer
from otelflask._internal.guard import safe_text
from otelflask._internal.limits import MAX_ITEMS, cut
from otelflask._internal.sdk.tracer_provider import AppSpan, SpanProcessors, no_span
from otelflask._internal.sdk.user_parts import processor_failed, tell_started

_SAMPLED_RANDOM = TraceFlags(TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID)


class Span(LayeredSpan, AppSpan):
    """A span whose attributes are layers; see the module's docstring."""

    def set_layers(self, layers: Layers) -> None:
        """Attributes that are valid already, in the place of those it began with; the dicts must not change afterwards.

        Of more attributes than a limit allows, the first are kept.
        """
        self.layers = layers

    def set_attribute(self, key: str, value: Any) -> None:
        if self.ended_at is not None:
            return
        if type(key) is not str:
            # A str of its own class may hash as it likes.
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

    def add_known_event(self, name: str, layer: Layer) -> None:
        """Add an event whose attributes are valid already; they must not be changed afterwards."""
        limit = self.limits.max_event_attributes
        if limit is None or len(layer) <= limit:
            self.add_made_event(sdk_trace.Event(name, layer))
        else:
            self.add_event(name, layer)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        if not isinstance(exception, BaseException):
            guard.say("record_exception", "record_exception takes an exception, not a %s", type(exception).__name__)
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
            if processor.told_before:
                processor.tell_ending(self)
            # As its `on_end`, which is one call more.
            guard.call_each(processor.processors, "on_end", self, processor_failed)
        else:
            guard.call_each((processor,), ENDING, self, processor_failed)
            guard.call_each((processor,), "on_end", self, processor_failed)


def clean_value(value: Any, length: int | None) -> Any:
    """An attribute value that OTLP can carry: scalars as they are, sequences of scalars, else text.

    In: the value, and the characters that are kept of a text; None for all.
    """
    return guard.attempt(_clean_value, value, length, instead=lambda error: _cut(safe_text(value), length))


def _cut(text: str, length: int | None) -> str:
    return text if length is None else cut(text, length)


def _clean_value(value: Any, length: int | None) -> Any:
    if isinstance(value, (str, bool, int, float)):
        # Not by its own __str__, which is the app's.
        return _cut(str.__str__(value), length) if isinstance(value, str) else value
    if isinstance(value, bytes):
        return _cut(value.decode("utf-8", "replace"), length)
    if isinstance(value, (list, tuple)):
        return [clean_value(item, length) for item in value[:MAX_ITEMS]]
    if value is None:
        return None
    return _cut(safe_text(value), length)


def _stock_parts(tracer: trace_api.Tracer) -> tuple[Any, Any, Any] | None:
    """Processors, sampler and id generator with which a span starts without code of the user's; None with others."""
    if not isinstance(tracer, sdk_trace.Tracer):
        return None
    parts = tracer.span_processor, tracer.sampler, tracer.id_generator
    are_stock = type(parts[0]) is SpanProcessors and asks_nobody_else(parts[1]) and type(parts[2]) is RandomIdGenerator
    return parts if are_stock else None


class SpanStarter:
    """Starts spans of one instrumentation scope.

    In: a tracer of the provider's. With the SDK's tracer a :class:`Span` is
    made; with any other, that tracer's own `start_span` is called.
    """

    def __init__(self, tracer: trace_api.Tracer, trust_remote_sampling: bool = False) -> None:
        self._tracer: Any = tracer
        self._sdk = isinstance(tracer, sdk_trace.Tracer)
        self._trust = trust_remote_sampling
        self._stock = _stock_parts(tracer)

    def start(
        self,
        name: str,
        kind: SpanKind,
        layers: Layers,
        start_time: int,
        context: Context | None = None,
        links: Sequence[trace_api.Link] = (),
    ) -> trace_api.Span:
        """Start a span; `context` is the parent's (default: the current one), `start_time` is in epoch ns.

        What a sampler or a processor of the user's raises goes no further.
        """
        tracer, stock = self._tracer, self._stock
        if (
            stock is not None
            and tracer.span_processor is stock[0]
            and tracer.sampler is stock[1]
            and tracer.id_generator is stock[2]
        ):
            return self._start(name, kind, layers, start_time, context, links)
        given = (name, kind, layers, start_time, context, links)
        return guard.attempt(self._start, *given, instead=functools.partial(no_span, context))

    def _start(
        self,
        name: str,
        kind: SpanKind,
        layers: Layers,
        start_time: int,
        context: Context | None,
        links: Sequence[trace_api.Link],
    ) -> trace_api.Span:
        tracer = self._tracer
        if not self._sdk:
            made: trace_api.Span = tracer.start_span(
                name, context, kind=kind, attributes=merged(layers), links=links, start_time=start_time
            )
            return made
        parent: SpanContext | None = trace_api.get_current_span(context).get_span_context()
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
            # The caller is not ours: its flag neither silences nor forces our spans.
            sampler = sampler_of_roots(sampler)
        elif isinstance(sampler, sampling.ParentBased) and parent is None:
            sampler = sampler_of_roots(sampler)
        trace_state = parent.trace_state if parent is not None else None
        extra: Mapping[str, Any] | None = None
        if sampler is sampling.ALWAYS_ON:
            recording = sampled = True
        else:
            result = sampler.should_sample(context, trace_id, name, kind, merged(layers), links)
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
            # A sampler returns the attributes it was given plus its own.
            known = merged(layers)
            for key, value in extra.items():
                if key not in known:
                    span.set_attribute(key, value)
        for link in links:
            span.add_link(link.context, link.attributes)
        processor = tracer.span_processor
        if type(processor) is SpanProcessors:
            if processor.told_before:
                processor.on_start(span, context)
        else:
            tell_started((processor,), span, context)
        return span
