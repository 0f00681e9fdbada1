"""The views of an ended request that the exporting thread makes: its span, its log record, and its measurements.

A request's span and log record have most attributes in common, which are encoded once. What many
requests have in common, method, route and status, and the connection, is encoded once for all of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import NonRecordingSpan, StatusCode

from otelflask._internal.compat.otel_trace import name_and_parent_of, processors_of_tracer
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.export.processors import LoggerOutput, hands_over
from otelflask._internal.instrumentation.http.attributes import NAMES
from otelflask._internal.instrumentation.http.ended_request import EndedRequest
from otelflask._internal.instrumentation.http.metrics import HttpMetrics
from otelflask._internal.instrumentation.http.plans import RequestPlans
from otelflask._internal.request_record import SWITCHING_PROTOCOLS, RequestRecord
from otelflask._internal.sdk.flat_items import (
    Flat,
    flags_of,
    flat_attributes,
    flat_events,
    flat_links,
    flat_scope,
    state_of,
)
from otelflask._internal.sdk.spans import Span

#: What a request may have: parts of a bit mask.
METRICS, LOG, SPAN = 1, 2, 4
#: The attributes of the event of an exception.
_OF_EXCEPTION = 3
_UNLIMITED = 1_000_000
#: What `_flat_part` returns for a request without a span of ours.
_NO_SPAN: Flat = ((),) * 8
#: Where the span's part begins and ends in an item.
_HEAD = 3
_END_OF_SPAN = _HEAD + len(_NO_SPAN)
_UNSET, _ERROR = StatusCode.UNSET.value, StatusCode.ERROR.value


class _OfTracer(NamedTuple):
    """How many attributes the app may add to a span of a tracer that is handed over, -1 for none, and its scope."""

    tracer: Any
    processors: Any
    margin: int
    scope: Flat


class RequestViews:
    """Hands requests over, and makes their views.

    A signal of which the user sees objects (by a processor, a view or an exemplar filter) is not handed
    over.

    Args:
        pipeline: Where the views go.
        metrics: The metrics of requests.
    """

    def __init__(self, pipeline: Pipeline, metrics: HttpMetrics) -> None:
        self._handover = pipeline.handover
        self._spans, self._logs = pipeline.spans, pipeline.logs
        self._metrics = metrics
        # What is known of the last logger and of the last tracer. Each is replaced as a whole, because threads read it.
        # A provider makes a new tuple of processors when it gets another.
        self._of_logger = LoggerOutput(None)
        self._of_tracer = _OfTracer(None, None, -1, ())
        self._plans = RequestPlans(pipeline.spans.encoder, pipeline.logs.encoder, metrics)
        self._kind = pipeline.handover.add_view(self._view, self._lose)

    def hand_over(self, record: RequestRecord, request: Flat, metrics: HttpMetrics, logger: Any) -> int:
        """Hand a request over, as far as its signals need no objects.

        Args:
            record: The request.
            request: The same as a flat tuple (`ended_request.flat_request`).
            metrics: Its metrics.
            logger: Its logger; None for no log record.

        Returns:
            The signals for which nothing is left to do.
        """
        signals = nothing = 0
        if record.status == SWITCHING_PROTOCOLS:
            nothing = METRICS
        elif metrics is self._metrics and metrics.measures_later:
            signals = METRICS
        span = record.span
        ours: Span | None = None
        of_span: Flat = _NO_SPAN
        log_scope: Flat = ()
        of_logger = self._of_logger
        if logger is not of_logger.logger:
            of_logger = self._of_logger = LoggerOutput(logger)
        is_heard, output = of_logger.find()
        if logger is None or not is_heard:
            nothing |= LOG
        elif output is self._logs and (of_logger.limit is None or of_logger.limit >= len(NAMES)):
            log_scope = of_logger.scope
            signals |= LOG
        if type(span) is not Span:
            nothing |= SPAN if type(span) is NonRecordingSpan else 0
        else:
            of_tracer = self._read_tracer(span)
            if of_tracer.processors == ():
                nothing |= SPAN
                span.ended_at = span.ended_at or record.ended_at
                span.set_layers(())
            elif _fits(span, record, of_tracer.margin):
                signals |= SPAN
                ours = span
                of_span = _flat_part(span, record, of_tracer.scope)
        if signals:
            # One tuple: the garbage collector stops to track a nested one two collections later.
            item = (self._kind, signals, log_scope, *of_span, *request)
            record.is_handed_over = True
            self._handover.append(item)
        if ours is not None:
            ours.ended_at = record.ended_at
            # What makes its attributes holds the record.
            ours.set_layers(())
        # Nothing is left to do for what nobody wants.
        return signals | nothing

    def _read_tracer(self, span: Span) -> _OfTracer:
        tracer, known = span.tracer, self._of_tracer
        processors = processors_of_tracer(tracer)
        if tracer is not known.tracer or processors is not known.processors:
            margin = _margin(span.limits) if hands_over(processors, self._spans) else -1
            known = self._of_tracer = _OfTracer(tracer, processors, margin, flat_scope(span.instrumentation_scope))
        return known

    def _view(self, item: Flat) -> None:
        signals, log_scope = item[1], item[2]
        fields = item[_END_OF_SPAN:]
        request = EndedRequest._make(fields)
        plans = self._plans
        plan = plans.of(fields)
        if signals & METRICS:
            self._metrics.add(request, plan.histograms)
        if not signals & (SPAN | LOG):
            return
        of_span, of_record, path = plans.attributes(request, plan)
        # Both are encoded before one is given away: where that fails, `_lose` counts both.
        span = plans.span(request, plan, of_span, item[_HEAD + 1 : _END_OF_SPAN]) if signals & SPAN else b""
        if signals & LOG:
            self._logs.give((log_scope, plans.record(request, plan, of_record, path), request.trace_id), True)
        if span:
            self._spans.give((item[_HEAD], span, request.trace_id), bool(request.trace_flags & 1))

    def _lose(self, item: Flat, error: Exception) -> None:
        signals = item[1]
        for signal, output in ((SPAN, self._spans), (LOG, self._logs)):
            if signals & signal:
                output.count_lost(error)


def _fits(span: Span, record: RequestRecord, margin: int) -> bool:
    """Whether a span can be made of the request and of what the app has added."""
    own = span.own
    return (
        # Where the app has replaced one of our attributes, its value counts.
        len(own) <= margin
        and span.ended_at is None
        # Plans have the kind of most.
        and not record.has_outer_span
        and (not own or NAMES.isdisjoint(own))
        and (record.error is None or not span.has_events)
    )


def _margin(limits: SpanLimits) -> int:
    """How many attributes the app may add to the span of a request; -1 for limits that our own exceed."""
    events, of_event, count = limits.max_events, limits.max_event_attributes, limits.max_span_attributes
    if events == 0 or (of_event is not None and of_event < _OF_EXCEPTION):
        return -1
    return _UNLIMITED if count is None else count - len(NAMES)


def _flat_part(span: Span, record: RequestRecord, scope: Flat) -> Flat:
    """What only the span has, and not the request. `RequestPlans.span` reads it.

    Returns:
        Scope, start, parent's id, flags, status, name (empty where it is the request's), trace state, and the
        rest; empty where there is no rest.
    """
    name, parent = name_and_parent_of(span)
    code = _UNSET if record.error_type is None else _ERROR
    rest: Flat = ()
    if not span.is_untouched:
        status = span.status
        if code == _UNSET or status.status_code is StatusCode.OK:
            code = status.status_code.value
        has_events, has_links = span.has_events, span.has_links
        rest = (
            (status.description or "") if record.error_type is None else "",
            flat_attributes(span.own),
            span.dropped,
            flat_events(span) if has_events else (),
            span.dropped_events if has_events else 0,
            flat_links(span) if has_links else (),
            span.dropped_links if has_links else 0,
        )
    context = record.span_context
    return (
        scope,
        record.started_at,
        parent.span_id if parent is not None else 0,
        flags_of(parent),
        code,
        # A name that the app has set stays.
        "" if name == record.method or name == "HTTP" else name,
        state_of(context) if context.trace_state else "",
        rest,
    )
