"""Masked copies, for exporters that take the SDK's objects instead of our bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.metrics.export import Metric, MetricsData
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace.status import Status

from otelflask._internal.compat.otel_logs import ReadableLogRecord
from otelflask._internal.limits import (
    BODY_LENGTH,
    MAX_ITEMS,
    Limits,
    bounded,
    clean_text,
)
from otelflask._internal.redaction import Scrubber, cleaned, scrubbed_attributes
from otelflask._internal.sdk.log_records import Record


def scrubbed_spans(spans: Sequence[ReadableSpan], scrubber: Scrubber, limits: Limits) -> list[ReadableSpan]:
    """Copies of the spans with masked values."""
    copies = []
    for span in spans:
        status = span.status
        if status.description:
            description = scrubber.text(bounded(status.description, limits.value_length))
            status = Status(status.status_code, clean_text(limits.text(description)))
        copies.append(
            ReadableSpan(
                name=clean_text(span.name),
                context=span.get_span_context(),
                parent=span.parent,
                resource=span.resource,
                attributes=scrubbed_attributes(span.attributes, scrubber, limits),
                events=[
                    Event(event.name, scrubbed_attributes(event.attributes, scrubber, limits), event.timestamp)
                    for event in span.events
                ],
                links=span.links,
                kind=span.kind,
                status=status,
                start_time=span.start_time,
                end_time=span.end_time,
                instrumentation_scope=span.instrumentation_scope,
            )
        )
    return copies


def scrubbed_records(
    records: Sequence[ReadableLogRecord], scrubber: Scrubber, limits: Limits
) -> list[ReadableLogRecord]:
    """Copies of the log records with masked values."""
    copies = []
    for item in records:
        source = item.log_record
        body = scrubber.value("", bounded(source.body, BODY_LENGTH, MAX_ITEMS))
        record = Record(
            source.timestamp or 0,
            source.severity_number,  # type: ignore[arg-type]
            source.severity_text or "",
            clean_text(limits.text(body, BODY_LENGTH)) if isinstance(body, str) else cleaned(body, limits),
            (scrubbed_attributes(source.attributes, scrubber, limits),),
            None,
            event_name=source.event_name,
        )
        record.trace_id, record.span_id, record.trace_flags = source.trace_id, source.span_id, source.trace_flags
        copies.append(ReadableLogRecord(record, item.resource, item.instrumentation_scope, item.limits))
    return copies


def scrubbed_metrics(data: MetricsData, scrubber: Scrubber, limits: Limits) -> MetricsData:
    """A copy of the metrics with masked attribute values that can be encoded."""
    resources = []
    for resource_metrics in data.resource_metrics:
        scopes = []
        for scope_metrics in resource_metrics.scope_metrics:
            metrics = [_scrubbed_metric(metric, scrubber, limits) for metric in scope_metrics.metrics]
            scopes.append(dataclasses.replace(scope_metrics, metrics=metrics))
        resources.append(dataclasses.replace(resource_metrics, scope_metrics=scopes))
    return dataclasses.replace(data, resource_metrics=resources)


def _scrubbed_metric(metric: Metric, scrubber: Scrubber, limits: Limits) -> Metric:
    data: Any = metric.data
    points = [
        dataclasses.replace(point, attributes=scrubbed_attributes(point.attributes, scrubber, limits))
        for point in data.data_points
    ]
    description = clean_text(metric.description or "")
    return dataclasses.replace(metric, description=description, data=dataclasses.replace(data, data_points=points))
