"""The export of metrics: sent by a flush, and counted when dropped."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from otelflask.testing import FakeCollector, Reply

SCRIPT = """
import os, flask, otelflask
from opentelemetry import metrics
otelflask.init(flask.Flask("shop"), runtime_metrics=False)
metrics.get_meter("m").create_counter("orders").add(3)
"""


def _run(script: str, collector: FakeCollector, **variables: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + script],
        env={**environ, **collector.environment(), "OTEL_METRIC_EXPORT_INTERVAL": "600000", **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("call", ["force_flush()", "shutdown()"])
def test_what_the_provider_is_asked_to_flush_is_sent_when_it_returns(fake_collector: FakeCollector, call: str) -> None:
    _run(f"metrics.get_meter_provider().{call}; os._exit(0)", fake_collector)
    assert [point.as_int for _, _, point in fake_collector.points("orders")] == [3]


def test_a_flush_that_cannot_be_sent_in_time_says_so(fake_collector: FakeCollector) -> None:
    fake_collector.default = Reply(503)
    assert _run("print(metrics.get_meter_provider().force_flush(500)); os._exit(0)", fake_collector) == "False"


def test_a_flush_that_is_sent_says_so(fake_collector: FakeCollector) -> None:
    assert _run("print(metrics.get_meter_provider().force_flush()); os._exit(0)", fake_collector) == "True"


def test_data_points_that_are_delivered_and_dropped_are_counted(fake_collector: FakeCollector) -> None:
    fake_collector.script.append(Reply(400))
    _run("otelflask.flush(); otelflask.flush(); otelflask.flush()", fake_collector)
    counts = {
        attributes.get("error.type"): point.as_int
        for _, attributes, point in fake_collector.points("otel.sdk.exporter.metric_data_point.exported")
    }
    first = sum(1 for metric in fake_collector.metrics if metric.name == "orders")
    assert first == 3
    assert set(counts) == {None, "400"}
    assert counts["400"] > 1


def test_what_a_full_queue_of_metrics_drops_is_counted(fake_collector: FakeCollector) -> None:
    fake_collector.script.append(Reply(503, {"Retry-After": "2"}))
    _run(
        """
reader = otelflask._internal.wiring.install._telemetry.pipeline.reader
for _ in range(12):
    reader.collect()
otelflask.flush(10)
reader.collect()
otelflask.flush(10)
""",
        fake_collector,
    )
    counts = {
        attributes.get("error.type"): point.as_int
        for _, attributes, point in fake_collector.points("otel.sdk.exporter.metric_data_point.exported")
    }
    assert counts["queue_full"] > 1


def test_a_flush_sends_spans_also_where_metrics_cannot_be_collected(fake_collector: FakeCollector) -> None:
    _run(
        """
from opentelemetry import trace
def fail(options):
    raise SystemError("sensor")
metrics.get_meter("m").create_observable_gauge("broken", [fail])
reader = otelflask._internal.wiring.install._telemetry.pipeline.reader
def collect(*arguments, **options):
    raise LookupError("collecting")
reader.collect = collect
trace.get_tracer("t").start_span("kept").end()
print(otelflask.flush(10))
os._exit(0)
""",
        fake_collector,
    )
    assert [span.name for span in fake_collector.spans] == ["kept"]
