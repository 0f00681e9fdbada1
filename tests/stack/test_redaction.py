"""Secrets that an SDK without otelflask sends straight to the collector reach no backend."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests.stack import driver
from tests.stack.backends import eventually, get, post
from tests.stack.compose import Stack

pytestmark = [pytest.mark.slow, pytest.mark.stack]

#: What no backend may show. None of them is a real secret.
SECRETS = (
    "canary-by-name-4711",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl",
    "canary-bearer-4711",
    "canary-in-url-4711",
    "4111 1111 1111 1111",
    "AKIACANARY4711CANARY",
    "canary-pair-4711",
)
NAMED = {
    "password": SECRETS[0],
    "http.request.header.authorization": SECRETS[0],
    "x-api-key": SECRETS[0],
    "session.cookie": SECRETS[0],
}
LOOKS = {
    "note.jwt": f"saw {SECRETS[1]} go by",
    "note.header": f"Bearer {SECRETS[2]}",
    "note.url": f"postgresql://user:{SECRETS[3]}@db/shop",
    "note.card": f"paid by {SECRETS[4]}",
    "note.cloud": f"key {SECRETS[5]}",
    "note.pair": f"login?password={SECRETS[6]}&next=1",
}
TEXT = " | ".join(LOOKS.values())


def _attributes(**more: str) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in {**NAMED, **LOOKS, **more}.items()]


def _send(stack: Stack, service: str) -> str:
    trace_id = uuid.uuid4().bytes
    now = time.time_ns()
    resource = _attributes(**{"service.name": service, "process.command_line": f"app --password={SECRETS[6]}"})
    traces = ExportTraceServiceRequest()
    spans = traces.resource_spans.add()
    spans.resource.attributes.extend(resource)
    scope = spans.scope_spans.add()
    scope.scope.attributes.extend(_attributes())
    span = scope.spans.add(
        trace_id=trace_id,
        span_id=trace_id[:8],
        name=f"GET /{TEXT}",
        kind=2,
        start_time_unix_nano=now - 1_000_000,
        end_time_unix_nano=now,
        attributes=_attributes(),
    )
    span.status.code = 2
    span.status.message = TEXT
    span.events.add(name=f"event {LOOKS['note.pair']}", time_unix_nano=now, attributes=_attributes())

    logs = ExportLogsServiceRequest()
    records = logs.resource_logs.add()
    records.resource.attributes.extend(resource)
    scope_logs = records.scope_logs.add()
    scope_logs.scope.attributes.extend(_attributes())
    for body in (
        AnyValue(string_value=TEXT),
        AnyValue(kvlist_value={"values": _attributes()}),
        AnyValue(array_value={"values": [AnyValue(string_value=TEXT)]}),
    ):
        scope_logs.log_records.add(
            time_unix_nano=now, severity_text="INFO", trace_id=trace_id, body=body, attributes=_attributes()
        )

    metrics = ExportMetricsServiceRequest()
    measured = metrics.resource_metrics.add()
    measured.resource.attributes.extend(resource)
    metric = measured.scope_metrics.add().metrics.add(name=f"canary_{service.replace('-', '_')}")
    point = metric.gauge.data_points.add(time_unix_nano=now, as_double=1, attributes=_attributes())
    point.exemplars.add(time_unix_nano=now, as_double=1, filtered_attributes=_attributes())

    for path, message in (("traces", traces), ("logs", logs), ("metrics", metrics)):
        post(f"{stack.url['otlp_http']}/v1/{path}", message.SerializeToString(), "application/x-protobuf")
    return trace_id.hex()


def _shown(answer: Any) -> list[str]:
    text = json.dumps(answer, ensure_ascii=False)
    return [secret for secret in SECRETS if secret in text]


def test_no_secret_reaches_loki(stack: Stack) -> None:
    service = driver.run_name("canary")
    _send(stack, service)
    streams = eventually(
        lambda: stack.backends.logql(f'{{service_name="{service}"}}'),
        lambda found: sum(len(stream["values"]) for stream in found) == 3,
    )
    assert sum(len(stream["values"]) for stream in streams) == 3
    assert _shown(streams) == []


def test_no_secret_reaches_prometheus(stack: Stack) -> None:
    service = driver.run_name("canary")
    _send(stack, service)
    name = f"canary_{service.replace('-', '_')}"
    series = eventually(lambda: stack.backends.promql(name))
    assert series
    assert _shown(series) == []
    assert _shown(stack.backends.promql(f'target_info{{service_name="{service}"}}')) == []
    exemplars = get(
        f"{stack.backends.prometheus}/api/v1/query_exemplars", query=name, start=time.time() - 60, end=time.time()
    )
    assert _shown(exemplars) == []


@pytest.mark.needs("tempo")
def test_no_secret_reaches_tempo(stack: Stack) -> None:
    service = driver.run_name("canary")
    trace_id = _send(stack, service)
    eventually(lambda: stack.backends.traceql(f'{{ resource.service.name="{service}" }}'))
    trace = stack.backends.trace(trace_id)
    assert trace["resourceSpans"]
    assert _shown(trace) == []
