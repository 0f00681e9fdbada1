"""The views of an ended request that the exporting thread makes: its span, its log record, and its measurements.

A request's span and log record have most attributes in common, which are encoded once. What many
requests have in common, method, route and status, and the connection, is encoded once for all of them.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import NonRecordingSpan, StatusCode

from otelflask._internal import guard
from otelflask._internal.compat.otel_logs import is_logger_enabled, parts_of_logger, processors_of_logger
from otelflask._internal.compat.otel_trace import processors_of_tracer
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.export.processors import hands_over
from otelflask._internal.instrumentation.http.attributes import NAMES
from otelflask._internal.instrumentation.http.ended_request import EndedRequest
from otelflask._internal.instrumentation.http.metrics import HttpMetrics
from otelflask._internal.instrumentation.http.plans import RequestPlans
from otelflask._internal.request_record import RequestRecord
from otelflask._internal.sdk.flat_items import (
    Flat,
    flags_of,
    flat_attributes,
    flat_events,
    flat_links,
    flat_scope,
    state_of,
)
from otelflask._internal.sdk.logger_provider import Logger
from otelflask._internal.sdk.spans import Span

#: What a request may have: parts of a bit mask.
METRICS, LOG, SPAN = 1, 2, 4
#: The attributes of the event of an exception.
_OF_EXCEPTION = 3
_UNLIMITED = 1_000_000
_UNSET, _ERROR = StatusCode.UNSET.value, StatusCode.ERROR.value


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
        # What is known of the last logger and the last tracer. A provider makes a new tuple when it gets a processor.
        self._logger: Any = None
        self._log_processors: Any = None
        self._takes_records = False
        self._log_scope: Flat = ()
        self._tracer: Any = None
        self._span_processors: Any = None
        self._span_scope: Flat = ()
        self._room = -1
        self._plans = RequestPlans(pipeline.spans.encoder, pipeline.logs.encoder, metrics)
        self._kind = pipeline.handover.add_view(self._view)

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
        signals = METRICS if metrics is self._metrics and metrics.measures_later else 0
        nothing = 0
        span = record.span
        of_span: Flat = ()
        if logger is None:
            nothing = LOG
        elif self._takes_records_of(logger):
            signals |= LOG
        if type(span) is not Span:
            nothing |= SPAN if type(span) is NonRecordingSpan else 0
        elif self._takes(span, record):
            signals |= SPAN
            of_span = _flat_part(span, record, self._span_scope)
            span.ended_at = record.ended_at
            # What makes its attributes holds the record.
            span.set_layers(())
        if signals:
            self._handover.append((self._kind, signals, request, of_span, self._log_scope))
        return signals | nothing

    def _takes_records_of(self, logger: Any) -> bool:
        if type(logger) is not Logger or not is_logger_enabled(logger):
            return False
        processors = processors_of_logger(logger)
        if logger is not self._logger or processors is not self._log_processors:
            self._logger, self._log_processors = logger, processors
            _, scope, limits, _ = parts_of_logger(logger)
            self._log_scope = flat_scope(scope)
            count = limits.max_log_record_attributes
            self._takes_records = (count is None or count >= len(NAMES)) and hands_over(processors, self._logs)
        return self._takes_records

    def _takes(self, span: Span, record: RequestRecord) -> bool:
        tracer = span.tracer
        processors = processors_of_tracer(tracer)
        if tracer is not self._tracer or processors is not self._span_processors:
            self._tracer, self._span_processors = tracer, processors
            self._span_scope = flat_scope(span.instrumentation_scope)
            takes = hands_over(processors, self._spans)
            self._room = _room(span.limits) if takes else -1
        own = span.own
        return (
            # Where the app has replaced one of our attributes, its value counts.
            len(own) <= self._room
            and span.ended_at is None
            and (not own or NAMES.isdisjoint(own))
            and (record.error is None or not span.has_events)
        )

    def _view(self, item: Flat) -> None:
        _, signals, fields, of_span, log_scope = item
        request = EndedRequest._make(fields)
        plans = self._plans
        plan = plans.of(fields)
        if signals & METRICS:
            self._metrics.add(request, plan.histograms)
        if not signals & (SPAN | LOG):
            return
        span_attributes, record_attributes, path = plans.attributes(request, plan)
        if signals & SPAN:
            output, part = self._spans, (request, plan, span_attributes, of_span[1:])
            data = guard.attempt(plans.span, *part, on_error=output.count_lost)
            if data:
                output.give((of_span[0], data, request.trace_id), request.is_sampled)
        if signals & LOG:
            output = self._logs
            data = guard.attempt(plans.record, request, plan, record_attributes, path, on_error=output.count_lost)
            if data:
                output.give((log_scope, data, request.trace_id), True)


def _room(limits: SpanLimits) -> int:
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
    parent, name = span.parent, span.name
    failed = record.error_type is not None
    if name == record.method or name == "HTTP":
        # A name that the app has set stays.
        name = ""
    context = record.span_context
    state = state_of(context) if context.trace_state else ""
    if not span.own and not span.has_events and not span.has_links and not span.has_status:
        return (
            scope,
            record.started_at,
            parent.span_id if parent is not None else 0,
            flags_of(parent),
            _ERROR if failed else _UNSET,
            name,
            state,
            (),
        )
    status = span.status
    code, description = status.status_code.value, status.description or ""
    if failed and status.status_code is not StatusCode.OK:
        code, description = _ERROR, ""
    has_events, has_links = span.has_events, span.has_links
    rest = (
        description,
        flat_attributes(span.own),
        span.dropped,
        flat_events(span) if has_events else (),
        span.dropped_events if has_events else 0,
        flat_links(span) if has_links else (),
        span.dropped_links if has_links else 0,
    )
    return (
        scope,
        record.started_at,
        parent.span_id if parent is not None else 0,
        flags_of(parent),
        code,
        name,
        state,
        rest,
    )
