"""Spans and log records of the SDK as our encoder's requests."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import ReadableSpan

from otelflask._internal.export.otlp_encoder import Encoder
from otelflask._internal.export.otlp_framing import Framing
from otelflask._internal.sdk.flat_items import flat_record, flat_scope, flat_span


def encoded_spans(encoder: Encoder, spans: Sequence[ReadableSpan]) -> bytes:
    """An ``ExportTraceServiceRequest``."""
    return Framing(encoder, lambda: spans[0].resource).request(
        (flat_scope(span.instrumentation_scope), encoder.span(flat_span(span, encoder.layer_of_span)), 0)
        for span in spans
    )


def encoded_logs(encoder: Encoder, records: Sequence[ReadableLogRecord]) -> bytes:
    """An ``ExportLogsServiceRequest``."""
    return Framing(encoder, lambda: records[0].resource).request(
        (flat_scope(item.instrumentation_scope), encoder.record(flat_record(item, encoder.layer_of_record)), 0)
        for item in records
    )
