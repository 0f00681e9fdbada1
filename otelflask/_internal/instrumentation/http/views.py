"""The views of an ended request that the exporting thread makes: its span, its log record, and its measurements.

A request's span and log record have most attributes in common, which are encoded once. What many
requests have in common, method, route and status, and the connection, is encoded once for all of them.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import NonRecordingSpan, StatusCode

from otelflask._internal import guard
from otelflask._internal.compat.otel_logs import is_logger_enabled, parts_of_logger
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.export.processors import SoleOutput
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
from otelflask._internal.sdk.tracer_provider import SpanProcessors

#: What a request may have: parts of a bit mask.
METRICS, LOG, SPAN = 1, 2, 4
#: The attributes of the event of an exception.
_OF_EXCEPTION = 3
_UNLIMITED = 1_000_000


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
        self._sole_spans, self._sole_logs = SoleOutput(pipeline.spans), SoleOutput(pipeline.logs)
        self._metrics = metrics
        self._limits: SpanLimits | None = None
        self._room = 0
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
        of_span: Flat = ()
        span, log_scope = record.span, of_span
        if logger is not None and self._takes_records_of(logger):
            signals |= LOG
            log_scope = flat_scope(parts_of_logger(logger)[1])
        if isinstance(span, Span) and self._takes(span, record):
            signals |= SPAN
            of_span = _flat_part(span, record)
            span.ended_at = record.ended_at
        if signals:
            self._handover.append((self._kind, signals, request, of_span, log_scope))
        # Nothing is left to do for what nobody wants.
        nothing = (LOG if logger is None else 0) | (SPAN if type(span) is NonRecordingSpan else 0)
        return signals | nothing

    def _takes_records_of(self, logger: Any) -> bool:
        if type(logger) is not Logger or not is_logger_enabled(logger):
            return False
        _, _, limits, processors = parts_of_logger(logger)
        count = limits.max_log_record_attributes
        return (count is None or count >= len(NAMES)) and self._sole_logs.sees_all(processors.processors)

    def _takes(self, span: Span, record: RequestRecord) -> bool:
        processors = span.tracer.span_processor
        if type(processors) is not SpanProcessors or not self._sole_spans.sees_all(processors.processors):
            return False
        if span.ended_at is not None or (record.error is not None and span.has_events):
            return False
        if span.limits is not self._limits:
            self._limits, self._room = span.limits, _room(span.limits)
        # Where the app has replaced one of our attributes, its value counts.
        return len(span.own) <= self._room and NAMES.isdisjoint(span.own)

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
            output, part = self._spans, (request, span_attributes, of_span[1:])
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


def _flat_part(span: Span, record: RequestRecord) -> Flat:
    """What only the span has, and not the request."""
    parent, name, status = span.parent, span.name, span.status
    code, description = status.status_code.value, status.description or ""
    if record.error_type is not None and status.status_code is not StatusCode.OK:
        code, description = StatusCode.ERROR.value, ""
    if record.route is not None and name in (record.method, "HTTP"):
        # A name that the app has set stays.
        name = f"{'HTTP' if record.method == '_OTHER' else record.method} {record.route}"
    has_events, has_links = span.has_events, span.has_links
    return (
        flat_scope(span.instrumentation_scope),
        state_of(span.get_span_context()),
        parent.span_id if parent is not None else 0,
        flags_of(parent),
        name,
        record.started_at,
        code,
        description,
        flat_attributes(span.own),
        span.dropped,
        flat_events(span) if has_events else (),
        flat_links(span) if has_links else (),
        (span.dropped_events if has_events else 0, span.dropped_links if has_links else 0)
        if has_events or has_links
        else (),
    )
