"""Our bytes mean the same as the SDK's encoder's."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState

from otelflask._internal.export.otlp_encoder import Encoder
from otelflask._internal.limits import Limits
from otelflask._internal.redaction import Scrubber
from otelflask._internal.sdk.spans import SpanStarter
from otelflask.testing import CapturedTelemetry
from tests.otlp import encoded_logs, encoded_spans

REMOTE = SpanContext(0xABC, 0xDEF, True, TraceFlags(1), TraceState([("vendor", "value")]))


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(Scrubber(), Limits())


def spans_of(telemetry: CapturedTelemetry) -> list[Any]:
    tracer = telemetry.tracer_provider.get_tracer("scope", "1.2", "https://example.test/schema")
    with tracer.start_as_current_span("plain"):
        pass
    attributes = {"s": "täxt", "i": -5, "big": 2**40, "f": 1.5, "b": True, "l": ["a", "b"], "n": [1, 2], "e": ""}
    remote = trace.set_span_in_context(trace.NonRecordingSpan(REMOTE))
    span = tracer.start_span("full", remote, SpanKind.CLIENT, attributes, links=[Link(REMOTE, {"k": 1})])
    span.add_event("event", {"x": "y"}, 12345)
    span.record_exception(ValueError("bad"))
    span.set_status(StatusCode.ERROR, "bad")
    span.end()
    starter = SpanStarter(tracer)
    own = starter.start("own", SpanKind.SERVER, ({"base": 1},), 1_000, remote, (Link(REMOTE),))
    own.set_attribute("more", "text")
    own.add_event("later", {"z": 3})
    own.end(2_000)
    return telemetry.spans


def test_spans_decode_to_what_the_sdks_encoder_says(encoder: Encoder, telemetry: CapturedTelemetry) -> None:
    spans = spans_of(telemetry)
    for chunk in ([span] for span in spans):
        ours = ExportTraceServiceRequest.FromString(encoded_spans(encoder, chunk))
        expected = encode_spans(chunk)
        for link in expected.resource_spans[0].scope_spans[0].spans[0].links:
            # The SDK's encoder forgets a link's trace state.
            link.trace_state = "vendor=value"
        assert ours == expected


def test_spans_of_one_scope_are_one_group(encoder: Encoder, telemetry: CapturedTelemetry) -> None:
    spans = spans_of(telemetry)
    ours = ExportTraceServiceRequest.FromString(encoded_spans(encoder, spans))
    (resource,) = ours.resource_spans
    assert sum(len(scope.spans) for scope in resource.scope_spans) == len(spans)


def test_log_records_decode_to_what_the_sdks_encoder_says(encoder: Encoder, telemetry: CapturedTelemetry) -> None:
    from opentelemetry._logs import SeverityNumber

    logger = telemetry.logger_provider.get_logger("scope")
    tracer = telemetry.tracer_provider.get_tracer("scope")
    with tracer.start_as_current_span("span"):
        logger.emit(
            timestamp=5,
            observed_timestamp=6,
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            body="text",
            attributes={"a": 1, "m": {"x": [1.5, "y"]}},
            event_name="event",
        )
    logger.emit(timestamp=7, observed_timestamp=8, body={"structured": [1, None]})
    records = telemetry._records.get_finished_logs()
    assert len(records) == 2
    for record in records:
        assert isinstance(record, ReadableLogRecord)
        assert ExportLogsServiceRequest.FromString(encoded_logs(encoder, [record])) == encode_logs([record])


@pytest.mark.parametrize("text", ["\ud800 lone", "nul \x00 inside", "\udfff" * 3])
def test_text_that_protobuf_refuses_is_sent_readable(encoder: Encoder, telemetry: CapturedTelemetry, text: str) -> None:
    span = SpanStarter(telemetry.tracer_provider.get_tracer("scope")).start(text, SpanKind.SERVER, ({"k": text},), 1)
    span.set_attribute(text, text)
    span.end()
    decoded = ExportTraceServiceRequest.FromString(encoded_spans(encoder, telemetry.spans))
    sent = decoded.resource_spans[0].scope_spans[0].spans[0]
    assert "\x00" not in sent.name
    assert len(sent.attributes) == 2


def test_secrets_and_long_values_do_not_leave(encoder: Encoder, telemetry: CapturedTelemetry) -> None:
    tracer = telemetry.tracer_provider.get_tracer("scope")
    with tracer.start_as_current_span("span") as span:
        span.set_attribute("db.password", "hunter2")
        span.set_attribute("url.query", "page=1&api_key=hunter2&token=hunter2")
        span.set_attribute("note", "postgres://u:hunter2@db/x Bearer hunter2hunter2")
        span.set_attribute("long", "x" * 1_000_000)
    payload = encoded_spans(encoder, telemetry.spans)
    assert b"hunter2" not in payload
    assert b"page=1" in payload
    assert len(payload) < 10_000


def test_a_key_set_twice_is_sent_once(encoder: Encoder, telemetry: CapturedTelemetry) -> None:
    starter = SpanStarter(telemetry.tracer_provider.get_tracer("scope"))
    span = starter.start("own", SpanKind.SERVER, ({"k": "ours"},), 1)
    span.set_attribute("k", "the app's")
    span.end()
    sent = ExportTraceServiceRequest.FromString(encoded_spans(encoder, telemetry.spans))
    (pair,) = sent.resource_spans[0].scope_spans[0].spans[0].attributes
    assert pair.value.string_value == "the app's"


def test_texts_of_errors_are_kept_as_bytes_only_where_they_are_short(encoder: Encoder) -> None:
    for number in range(300):
        encoder.pairs({"exception.message": f"{number} {'m' * 1_000_000}", "exception.stacktrace": f"{number} " * 100})
    kept = [len(pair) for pair in encoder._long_pairs.values()]
    assert 0 < len(kept) <= 64
    assert sum(kept) < 100_000
