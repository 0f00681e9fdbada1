"""Spans of ours: real SDK spans, made without what nobody looks at.

:class:`Span` is a subclass of the SDK's span, so that samplers, span
processors and exporters of the user's see what they always see. It differs in
cost only: attributes are kept in layers (see ``attributes``), events and links
are made when the first one is added, and what ends is handed on itself
instead of a copy.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk.trace import sampling
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from otelflask._internal import clock, guard
from otelflask._internal.attribute_layers import Layer, Layers, merged
from otelflask._internal.exceptions.attributes import exception_layer
from otelflask._internal.guard import safe_text
from otelflask._internal.limits import MAX_ITEMS, cut
from otelflask._internal.sdk.guarded import processor_failed
from otelflask._internal.sdk.tracer_provider import AppSpan

#: More attributes than layers of ours have together.
_OF_LAYERS = 32
_UNSET = Status(StatusCode.UNSET)
_SAMPLED_RANDOM = TraceFlags(TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID)


class Span(AppSpan):
    """A span whose attributes are layers; see the module's docstring."""

    # The SDK's __init__ builds six containers that most spans never use.
    def __init__(  # pylint: disable=super-init-not-called
        self,
        tracer: sdk_trace.Tracer,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        start_time: int,
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._context = context
        self._parent = parent
        self._kind = kind
        self._start_time = start_time
        self._end_time: int | None = None
        self._status = _UNSET
        self._layers: Layers = ()
        self._own: dict[str, Any] = {}
        self._dropped = 0
        self._resource = tracer.resource
        self._instrumentation_scope = tracer._instrumentation_scope

    def __getattr__(self, name: str) -> Any:
        # Containers of the SDK's span, made when first asked for.
        value: Any
        if name == "_events":
            self._events = value = self._new_events()
        elif name == "_links":
            self._links = value = self._new_links(())
        elif name == "_lock":
            self._lock = value = threading.Lock()
        elif name == "_limits":
            value = self._tracer._span_limits
        elif name == "_span_processor":
            value = self._tracer.span_processor
        elif name == "_sampler":
            value = self._tracer.sampler
        elif name == "_instrumentation_info":
            value = self._tracer.instrumentation_info
        elif name in ("_record_exception", "_set_status_on_exception"):
            value = True
        elif name in ("_trace_config", "_record_end_metrics"):
            value = None
        else:
            raise AttributeError(name)
        return value

    @property
    def _attributes(self) -> dict[str, Any]:  # type: ignore[override]
        found = merged((*self._layers, self._own))
        limit = self._tracer._span_limits.max_span_attributes
        return found if limit is None or len(found) <= limit else dict(islice(found.items(), limit))

    @property
    def dropped_attributes(self) -> int:
        if not self.is_over_limit:
            return self._dropped
        return self._dropped + len(merged((*self._layers, self._own))) - len(self._attributes)

    @property
    def is_over_limit(self) -> bool:
        """Whether there may be more attributes than a span may have: `attributes` is what it keeps of them then."""
        limit = self._tracer._span_limits.max_span_attributes
        if limit is None or len(self._own) + _OF_LAYERS <= limit:
            return False
        return len(self._own) + sum(map(len, self._layers)) > limit

    @property
    def has_events(self) -> bool:
        return "_events" in self.__dict__

    @property
    def has_links(self) -> bool:
        return "_links" in self.__dict__

    def set_layers(self, layers: Layers) -> None:
        """Attributes that are valid already, in the place of those it began with; the dicts must not change afterwards.

        Of more attributes than a limit allows, the first are kept.
        """
        self._layers = layers

    def set_attribute(self, key: str, value: Any) -> None:
        if self._end_time is not None:
            return
        own = self._own
        if type(key) is not str:
            key = safe_text(key)
        try:
            if key not in own and len(own) >= (self._limits.max_span_attributes or 128):
                self._dropped += 1
                return
            kind = type(value)
            if kind is str:
                limit = self._limits.max_span_attribute_length
                own[key] = value if limit is None or len(value) <= limit else cut(value, limit)
            elif kind is int or kind is bool or kind is float:
                own[key] = value
            else:
                cleaned = clean_value(value, self._limits.max_span_attribute_length)
                if cleaned is not None:
                    own[key] = cleaned
        except Exception:
            guard.users_failed("attribute of a span")

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        try:
            for key, value in attributes.items():
                self.set_attribute(key, value)
        except Exception:
            guard.users_failed("mapping of attributes")

    def add_known_event(self, name: str, layer: Layer) -> None:
        """Add an event whose attributes are valid already; they must not be changed afterwards."""
        limit = self._limits.max_event_attributes
        if limit is None or len(layer) <= limit:
            self._events.append(sdk_trace.Event(name, layer))
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
        try:
            self.add_event("exception", {**exception_layer(exception), **dict(attributes or {})}, timestamp)
        except Exception:
            guard.users_failed("record of an exception")

    def end(self, end_time: int | None = None) -> None:
        if self._end_time is not None:
            return
        self._end_time = clock.time_ns() if end_time is None else end_time
        processor = self._tracer.span_processor
        try:
            processor._on_ending(self)
        except Exception:
            processor_failed(processor)
        try:
            processor.on_end(self)
        except Exception:
            processor_failed(processor)


def clean_value(value: Any, length: int | None) -> Any:
    """An attribute value that OTLP can carry: scalars as they are, sequences of scalars, else text.

    In: the value, and the characters that are kept of a text; None for all.
    """
    try:
        return _clean_value(value, length)
    except Exception:
        return _cut(safe_text(value), length)


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


class SpanStarter:
    """Starts spans of one instrumentation scope.

    In: a tracer of the provider's. With the SDK's tracer a :class:`Span` is
    made; with any other, that tracer's own `start_span` is called.
    """

    def __init__(self, tracer: trace_api.Tracer, trust_remote_sampling: bool = False) -> None:
        self._tracer = tracer
        self._sdk = isinstance(tracer, sdk_trace.Tracer)
        self._trust = trust_remote_sampling

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
        try:
            return self._start(self._tracer, name, kind, layers, start_time, context, links)
        except Exception:
            guard.users_failed("start of a span")
            return trace_api.NonRecordingSpan(trace_api.get_current_span(context).get_span_context())

    def _start(
        self,
        tracer: Any,
        name: str,
        kind: SpanKind,
        layers: Layers,
        start_time: int,
        context: Context | None,
        links: Sequence[trace_api.Link],
    ) -> trace_api.Span:
        if not self._sdk:
            made: trace_api.Span = tracer.start_span(
                name, context, kind=kind, attributes=merged(layers), links=links, start_time=start_time
            )
            return made
        parent: SpanContext | None = trace_api.get_current_span(context).get_span_context()
        if not tracer._is_enabled():
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
            sampler = sampler._root
        elif isinstance(sampler, sampling.ParentBased) and parent is None:
            sampler = sampler._root
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
        span = Span(tracer, name, span_context, parent, kind, start_time)
        span._layers = layers
        if extra:
            # A sampler returns the attributes it was given plus its own.
            known = merged(layers)
            for key, value in extra.items():
                if key not in known:
                    span.set_attribute(key, value)
        for link in links:
            span.add_link(link.context, link.attributes)
        try:
            tracer.span_processor.on_start(span, parent_context=context)
        except Exception:
            processor_failed(tracer.span_processor)
        return span
