"""OpenTelemetry's SDK for spans: what its span, tracer, sampler and provider keep for themselves.

Source: ``opentelemetry.sdk.trace``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice
from operator import attrgetter
from typing import Any

from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, SynchronousMultiSpanProcessor, sampling
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import SpanContext, SpanKind
from opentelemetry.trace.status import Status, StatusCode

from otelflask._internal.attribute_layers import Layers, merged

#: The class of the spans that the SDK's tracer makes.
SdkSpan = sdk_trace._Span
#: Whether a tracer makes spans at all.
is_tracer_enabled: Callable[[Any], bool] = sdk_trace.Tracer._is_enabled
#: Name of a processor's method for a span that is about to end; what it is given is the span.
ENDING = "_on_ending"
#: ``trace_flags`` of a span of the SDK's.
trace_flags_of: Callable[[Any], int] = attrgetter("_context.trace_flags")
#: Whether a span records the exception that ends its block, and whether that sets its status.
exception_options_of: Callable[[Any], tuple[bool, bool]] = attrgetter("_record_exception", "_set_status_on_exception")
#: What decides in a `ParentBased` on spans that have no parent.
sampler_of_roots: Callable[[Any], Sampler] = attrgetter("_root")
_PARTS_OF_SAMPLER: Callable[[Any], tuple[Sampler, ...]] = attrgetter(
    "_root",
    "_remote_parent_sampled",
    "_remote_parent_not_sampled",
    "_local_parent_sampled",
    "_local_parent_not_sampled",
)
#: Samplers that decide alone: the public ones, and those that ``OTEL_TRACES_SAMPLER`` makes.
_DECIDE_ALONE = (sampling.StaticSampler, sampling.TraceIdRatioBased, sampling._AlwaysOn, sampling._AlwaysOff)
_ASK_OTHERS = (sampling.ParentBased, sampling.ParentBasedTraceIdRatio)
#: More attributes than layers of ours have together.
_OF_LAYERS = 32
_UNSET = Status(StatusCode.UNSET)


def asks_nobody_else(sampler: Sampler) -> bool:
    """Whether a sampler is the SDK's, and so are all that it asks: no code of the user's decides."""
    kind = type(sampler)
    if kind in _ASK_OTHERS:
        return all(map(asks_nobody_else, _PARTS_OF_SAMPLER(sampler)))
    return kind in _DECIDE_ALONE


def set_provider_resource(provider: sdk_trace.TracerProvider, resource: Resource) -> None:
    """Give a provider, and the tracers that it has made, another resource."""
    provider._resource = resource
    for tracer in provider._tracers.values():
        tracer._set_resource(resource)


class SpanProcessorList(SynchronousMultiSpanProcessor):
    """The SDK's list of processors, which can be read.

    A class of ours says by ``told_of_ends_only = True`` that it does nothing before a span has ended.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known: tuple[SpanProcessor, ...] = ()
        self._told_before: tuple[SpanProcessor, ...] = ()

    #: All of them, in order.
    processors = property(attrgetter("_span_processors"))

    @property
    def told_before(self) -> tuple[SpanProcessor, ...]:
        """Those that are told of a span before it has ended too."""
        # The SDK's tuple is another one whenever a processor joins, or a test puts another in its place.
        if self._known is not self._span_processors:
            known = self._span_processors
            self._told_before = tuple(item for item in known if not getattr(type(item), "told_of_ends_only", False))
            self._known = known
        return self._told_before

    def tell_ending(self, span: sdk_trace.Span) -> None:
        """A span is about to end: it can still be changed."""
        super()._on_ending(span)

    def _on_ending(self, span: sdk_trace.Span) -> None:
        self.tell_ending(span)


class _MadeOnDemand:
    """An attribute that is made when it is read first: no `__getattr__`, which would slow down each read of any."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        value = instance.__dict__[self._name] = self._make(instance)
        return value


class LayeredSpan(SdkSpan):
    """The SDK's span, with attributes in layers, and without the containers that most spans never use.

    In: the SDK's tracer, and what a span begins with; `start_time` in epoch nanoseconds.
    """

    # The SDK's __init__ builds six containers.
    def __init__(  # pylint: disable=super-init-not-called
        self,
        tracer: sdk_trace.Tracer,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        layers: Layers,
        start_time: int,
    ) -> None:
        self.tracer = tracer
        #: What the SDK lets a span have.
        self.limits: sdk_trace.SpanLimits = tracer._span_limits
        #: Attributes that are valid already; the dicts must not change afterwards.
        self.layers = layers
        #: Attributes that this span alone has.
        self.own: dict[str, Any] = {}
        #: How many of its own it could not take.
        self.dropped = 0
        self._name = name
        self._context = context
        self._parent = parent
        self._kind = kind
        self._start_time = start_time
        #: Its end in epoch nanoseconds; None while it goes on.
        self.ended_at: int | None = None
        self._status = _UNSET
        self._resource = tracer.resource
        self._instrumentation_scope = tracer._instrumentation_scope

    # Containers of the SDK's span, made when first asked for.
    _events = _MadeOnDemand(lambda span: span._new_events())
    _links = _MadeOnDemand(lambda span: span._new_links(()))
    _lock = _MadeOnDemand(lambda span: threading.Lock())
    # What the SDK's span looks for in itself.
    _limits = property(attrgetter("limits"))
    _span_processor = property(attrgetter("tracer.span_processor"))
    _sampler = property(attrgetter("tracer.sampler"))
    _instrumentation_info = property(attrgetter("tracer.instrumentation_info"))
    _record_exception = _set_status_on_exception = True
    _trace_config = _record_end_metrics = None

    @property
    def _attributes(self) -> dict[str, Any]:  # type: ignore[override]
        found = merged((*self.layers, self.own))
        limit = self.limits.max_span_attributes
        return found if limit is None or len(found) <= limit else dict(islice(found.items(), limit))

    @property
    def dropped_attributes(self) -> int:
        if not self.is_over_limit:
            return self.dropped
        return self.dropped + len(merged((*self.layers, self.own))) - len(self._attributes)

    @property
    def is_over_limit(self) -> bool:
        """Whether there may be more attributes than a span may have: `attributes` is what it keeps of them then."""
        limit = self.limits.max_span_attributes
        if limit is None or len(self.own) + _OF_LAYERS <= limit:
            return False
        return len(self.own) + sum(map(len, self.layers)) > limit

    @property
    def has_events(self) -> bool:
        """Whether it has any, or had: their container is made with the first."""
        return "_events" in self.__dict__

    @property
    def has_links(self) -> bool:
        """As `has_events`."""
        return "_links" in self.__dict__

    def add_made_event(self, event: sdk_trace.Event) -> None:
        """Add an event as it is."""
        events: Any = self._events
        events.append(event)

    @property
    def _end_time(self) -> int | None:  # type: ignore[override]
        return self.ended_at

    def is_recording(self) -> bool:
        return self.ended_at is None

    def update_name(self, name: str) -> None:
        # The SDK's takes a lock, which would be the only use of it in most spans.
        if self.ended_at is None:
            self._name = name
        else:
            super().update_name(name)
