"""OpenTelemetry's SDK for spans: private parts of its span, tracer, sampler and provider.

Source: ``opentelemetry.sdk.trace``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any

from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, SynchronousMultiSpanProcessor, sampling
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceState
from opentelemetry.trace.status import Status, StatusCode

from otelflask._internal.attribute_layers import Layers, LazyLayers, merged

#: The class of the SDK's spans.
SdkSpan = sdk_trace._Span
#: Whether a tracer makes spans at all.
is_tracer_enabled: Callable[[Any], bool] = sdk_trace.Tracer._is_enabled
#: The instrumentation scope of a tracer.
scope_of_tracer: Callable[[Any], InstrumentationScope] = attrgetter("_instrumentation_scope")
#: The processors of a list. The tuple is replaced when one is added.
processors_of_list: Callable[[Any], tuple[Any, ...]] = attrgetter("_span_processors")
#: Processors, sampler and id generator of a tracer with a list of processors.
parts_of_tracer: Callable[[Any], tuple[Any, ...]] = attrgetter(
    "span_processor._span_processors", "sampler", "id_generator"
)
#: The name of a processor's method that is called with a span that is about to end.
ENDING = "_on_ending"
#: Name and parent of a span of the SDK.
name_and_parent_of: Callable[[Any], tuple[str, SpanContext | None]] = attrgetter("_name", "_parent")
#: ``trace_flags`` of a span of the SDK.
trace_flags_of: Callable[[Any], int] = attrgetter("_context.trace_flags")
#: Whether a span records the exception that ends its block, and whether the exception sets its status.
exception_options_of: Callable[[Any], tuple[bool, bool]] = attrgetter("_record_exception", "_set_status_on_exception")
#: The sampler of a `ParentBased` for spans without a parent.
sampler_of_roots: Callable[[Any], Sampler] = attrgetter("_root")
_PARTS_OF_SAMPLER: Callable[[Any], tuple[Sampler, ...]] = attrgetter(
    "_root",
    "_remote_parent_sampled",
    "_remote_parent_not_sampled",
    "_local_parent_sampled",
    "_local_parent_not_sampled",
)
#: Samplers that ask no other sampler: the public ones, and those of ``OTEL_TRACES_SAMPLER``.
_DECIDE_ALONE = (sampling.StaticSampler, sampling.TraceIdRatioBased, sampling._AlwaysOn, sampling._AlwaysOff)
_ASK_OTHERS = (sampling.ParentBased, sampling.ParentBasedTraceIdRatio)
#: More than the number of attributes that our layers have together.
_OF_LAYERS = 32
_ids_and_state: Callable[[SpanContext], tuple[int, int, int, TraceState]] = itemgetter(0, 1, 3, 4)
_UNSET = Status(StatusCode.UNSET)


def ids_and_state_of(span: Any) -> tuple[int, int, int, TraceState]:
    """Trace id, span id, flags and trace state of a span of the SDK. Its context is a tuple."""
    return _ids_and_state(span._context)


def processors_of_tracer(tracer: Any) -> tuple[Any, ...] | None:
    """The processors of a tracer. The tuple is replaced when one is added. None where there is no list of them."""
    return getattr(getattr(tracer, "span_processor", None), "_span_processors", None)


def asks_nobody_else(sampler: Sampler) -> bool:
    """Whether a sampler, and each sampler that it asks, is the SDK's: no code of the user decides."""
    kind = type(sampler)
    if kind in _ASK_OTHERS:
        return all(map(asks_nobody_else, _PARTS_OF_SAMPLER(sampler)))
    return kind in _DECIDE_ALONE


def samples_children(sampler: Sampler) -> bool:
    """Whether a sampler samples each span within a sampled span of this process."""
    if type(sampler) in _ASK_OTHERS:
        sampler = sampler._local_parent_sampled  # type: ignore[attr-defined]
    return sampler is sampling.ALWAYS_ON


def samples_roots(sampler: Sampler) -> bool:
    """Whether a sampler samples each span without a parent."""
    return (sampler_of_roots(sampler) if type(sampler) in _ASK_OTHERS else sampler) is sampling.ALWAYS_ON


class ForkSafeTracerProvider(sdk_trace.TracerProvider):
    """The SDK's tracer provider, without its look for a new resource in each forked child.

    That starts threads, also in a child that runs another program, and waits. Under gevent other greenlets go
    on meanwhile. `set_provider_resource` gives the new resource.
    """

    def _handle_fork(self) -> None:
        self._tracers_lock = threading.Lock()


def set_provider_resource(provider: sdk_trace.TracerProvider, resource: Resource) -> None:
    """Replace the resource of a provider and of the tracers that it has made."""
    provider._resource = resource
    for tracer in provider._tracers.values():
        tracer._set_resource(resource)


class SpanProcessorList(SynchronousMultiSpanProcessor):
    """The SDK's list of processors, made readable.

    A class of ours declares by ``only_ended_spans = True`` that it ignores spans before their end.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known: tuple[SpanProcessor, ...] = ()
        self._listeners_before_end: tuple[SpanProcessor, ...] = ()

    #: All processors, in order.
    processors = property(attrgetter("_span_processors"))

    def add_processor(self, processor: SpanProcessor, order: Callable[[SpanProcessor], Any]) -> None:
        """Add a processor, and sort all of them."""
        with self._lock:
            self._span_processors = tuple(sorted((*self._span_processors, processor), key=order))

    @property
    def listeners_before_end(self) -> tuple[SpanProcessor, ...]:
        """The processors that need a span before its end too."""
        # The SDK replaces its tuple when a processor is added, and tests replace it too.
        if self._known is not self._span_processors:
            known = self._span_processors
            self._listeners_before_end = tuple(
                item for item in known if not getattr(type(item), "only_ended_spans", False)
            )
            self._known = known
        return self._listeners_before_end

    def notify_ending(self, span: sdk_trace.Span) -> None:
        """Call the processors with a span that is about to end and can still be changed."""
        super()._on_ending(span)

    def _on_ending(self, span: sdk_trace.Span) -> None:
        self.notify_ending(span)


class _MadeOnDemand:
    """An attribute that is made on first read. A `__getattr__` would slow down each read of any attribute."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        instance.has_containers = True
        value = self._make(instance)
        setattr(instance, self._name, value)
        return value


class LayeredSpan(SdkSpan):
    """The SDK's span with attributes in layers, and without the containers that most spans never use.

    Args:
        tracer: The SDK's tracer.
        name: The name.
        context: The span's context.
        parent: The parent's context.
        kind: The kind.
        layers: Attributes that are valid already, or what makes them when something reads them.
        start_time: Epoch nanoseconds.
    """

    # The SDK's __init__ builds six containers.
    def __init__(  # pylint: disable=super-init-not-called
        self,
        tracer: sdk_trace.Tracer,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        layers: LazyLayers,
        start_time: int,
    ) -> None:
        self.tracer = tracer
        #: The SDK's limits of a span.
        self.limits: sdk_trace.SpanLimits = tracer._span_limits
        self._layers = layers
        #: Attributes of this span alone.
        self.own: dict[str, Any] = {}
        self._name = name
        self._context = context
        self._parent = parent
        self._kind = kind
        self._start_time = start_time

    #: Whether any of the containers below is made. Python makes a dict of the attributes where `__dict__` is read.
    has_containers = False
    #: The number of its own attributes that were dropped.
    dropped = 0
    #: Its end in epoch nanoseconds; None before.
    ended_at: int | None = None
    _status = _UNSET
    _resource = property(attrgetter("tracer.resource"))
    _instrumentation_scope = property(attrgetter("tracer._instrumentation_scope"))

    @property
    def layers(self) -> Layers:
        """Attributes that are valid already. The dicts must not change."""
        layers = self._layers
        if callable(layers):
            layers = self._layers = layers()
        return layers

    def set_layers(self, layers: Layers) -> None:
        """Replace the layers.

        Above the limit of a span, the first attributes are kept.
        """
        self._layers = layers

    # Containers of the SDK's span, made on first use.
    _events = _MadeOnDemand(lambda span: span._new_events())
    _links = _MadeOnDemand(lambda span: span._new_links(()))
    _lock = _MadeOnDemand(lambda span: threading.Lock())
    # Names under which the SDK's span reads them.
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
        """Whether the attributes may exceed the limit. Then `attributes` has those that are kept."""
        limit = self.limits.max_span_attributes
        if limit is None or len(self.own) + _OF_LAYERS <= limit:
            return False
        return len(self.own) + sum(map(len, self.layers)) > limit

    @property
    def is_untouched(self) -> bool:
        """Whether it has, and had, neither attributes of its own, nor events, links or a status."""
        return not self.own and not self.has_containers and self._status is _UNSET

    @property
    def has_events(self) -> bool:
        """Whether it has, or had, any event. The container is made with the first."""
        return self.has_containers and "_events" in self.__dict__

    @property
    def has_links(self) -> bool:
        """Whether it has, or had, any link."""
        return self.has_containers and "_links" in self.__dict__

    def add_made_event(self, event: sdk_trace.Event) -> None:
        """Add an event object as it is."""
        events: Any = self._events
        events.append(event)

    @property
    def _end_time(self) -> int | None:  # type: ignore[override]
        return self.ended_at

    # The SDK's method casts the type, by two calls.
    def get_span_context(self) -> SpanContext:
        return self._context  # type: ignore[return-value]

    def is_recording(self) -> bool:
        return self.ended_at is None

    def update_name(self, name: str) -> None:
        # The SDK's method takes a lock. In most spans that would be the lock's only use.
        if self.ended_at is None:
            self._name = name
        else:
            super().update_name(name)
