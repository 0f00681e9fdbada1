"""A request means the same, whether its signals are views of a tuple or objects that the user sees."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from otelflask.testing import FakeCollector

SCRIPT = Path(__file__).parent / "apps" / "views.py"
#: What differs from one run to the next.
CHANGING = re.compile(
    r"(trace|span|parent)_?id$|time_?unix_?nano$|^observed|^otelflask.error|^http.server.request.duration$"
    r"|^http.request.id$|^otelflask.db.query.duration$|^process.pid$|^service.instance.id$",
    re.I,
)
DURATION = re.compile(r"\d+\.\d ms")


def _constant(value: Any) -> Any:
    """A message without what differs, and with its attributes by name."""
    if isinstance(value, list):
        if value and all(isinstance(item, dict) and set(item) <= {"key", "value"} for item in value):
            pairs = {item["key"]: _constant(item.get("value")) for item in value}
            return {key: item for key, item in sorted(pairs.items()) if not CHANGING.search(key)}
        return [_constant(item) for item in value]
    if isinstance(value, dict):
        return {key: _constant(item) for key, item in sorted(value.items()) if not CHANGING.search(key)}
    return DURATION.sub("N ms", value) if isinstance(value, str) else value


def _items(collector: FakeCollector) -> dict[str, list[str]]:
    spans, logs = (
        [repr((_constant(MessageToDict(item.message)), item.scope)) for item in items if item.scope != "otelflask"]
        for items in (collector.spans, collector.logs)
    )
    points = [
        repr((name, sorted(attributes.items()), point.count, bool(point.exemplars), hasattr(point, "bucket_counts")))
        for name in (
            "http.server.request.duration",
            "http.server.request.body.size",
            "http.server.response.body.size",
            "db.client.operation.duration",
        )
        for _, attributes, point in collector.points(name)
    ]
    return {"spans": sorted(spans), "logs": sorted(logs), "points": sorted(points)}


#: What decides which of its parts a request has, and what they contain.
SURROUNDINGS = {
    "few attributes": {},
    "captured headers": {
        "OTELFLASK_REQUEST_HEADERS": "x-shown",
        "OTELFLASK_RESPONSE_HEADERS": "content-type",
    },
    "no sampled trace": {"OTEL_TRACES_SAMPLER": "always_off"},
    "another sampler": {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.0"},
    "all are exemplars": {"OTEL_METRICS_EXEMPLAR_FILTER": "always_on", "OTEL_TRACES_SAMPLER": "always_off"},
    "no exemplars": {"OTEL_METRICS_EXEMPLAR_FILTER": "always_off"},
    "exponential histograms": {
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram"
    },
    "deltas": {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"},
    "narrow limits": {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "9", "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "7"},
    "short values": {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "66", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "9"},
    "no events": {"OTEL_SPAN_EVENT_COUNT_LIMIT": "0"},
    "secrets of the app": {"OTELFLASK_REDACT_PATTERNS": "[0-9a-f]{32}|items", "OTELFLASK_REDACT_NAMES": "address"},
    "no request log": {"OTELFLASK_REQUEST_LOG": "off"},
    "callers are ignored": {"OTELFLASK_REMOTE_CONTEXT": "ignore"},
    "callers are linked": {"OTELFLASK_REMOTE_CONTEXT": "link"},
}


@pytest.fixture(scope="module", params=SURROUNDINGS)
def arrived(request: pytest.FixtureRequest) -> dict[str, dict[str, list[str]]]:
    """What arrived both ways."""
    found = {}
    for mode in ("alone", "beside"):
        with FakeCollector() as collector:
            environment = {**collector.environment(), **SURROUNDINGS[request.param]}
            subprocess.run([sys.executable, str(SCRIPT), mode], env=environment, check=True)
            found[mode] = _items(collector)
    return found


@pytest.mark.parametrize("signal", ["spans", "logs", "points"])
def test_both_ways_send_the_same(arrived: dict[str, dict[str, list[str]]], signal: str) -> None:
    assert arrived["alone"][signal] == arrived["beside"][signal]


def test_all_of_it_arrives(arrived: dict[str, dict[str, list[str]]]) -> None:
    assert len(arrived["alone"]["points"]) > 20
    assert len(arrived["alone"]["logs"]) >= 3


def test_nothing_secret_is_sent(arrived: dict[str, dict[str, list[str]]]) -> None:
    assert "hunter2" not in repr(arrived)
    assert "s3cr3t" not in repr(arrived)
