"""The public test kit works as its docs say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import flask
import pytest

import otelflask
from otelflask._internal.testing.clock import START_NS
from otelflask.testing import CapturedTelemetry, FixedClock
from tests.integration.conftest import NO_EXPORT


def test_ids_and_times_are_the_same_in_every_run(
    app: flask.Flask, telemetry: CapturedTelemetry, fixed_clock: FixedClock
) -> None:
    @app.get("/slow")
    def slow() -> str:
        fixed_clock.advance(1.5)
        app.logger.warning("inside")
        return ""

    app.test_client().get("/slow")
    span = telemetry.span("GET /slow")
    context = span.get_span_context()
    assert context is not None
    assert (context.trace_id, context.span_id) == (1, 1)
    assert (span.start_time, span.end_time) == (START_NS, START_NS + 1_500_000_000)
    (point,) = telemetry.points("http.server.request.duration")
    assert point.sum == 1.5


def test_time_goes_on_afterwards(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    app.test_client().get("/items/1")
    assert telemetry.spans[0].start_time != START_NS


def test_a_clock_does_not_go_back(fixed_clock: FixedClock) -> None:
    with pytest.raises(ValueError, match="does not go back: -1"):
        fixed_clock.advance(-1)


def test_a_span_that_is_not_there_is_named_with_those_that_are(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    app.test_client().get("/items/1")
    with pytest.raises(AssertionError, match="GET /items/<int:item>"):
        telemetry.span("GET /other")


def test_all_that_is_told_of_an_error_reads_the_fixed_clock(
    telemetry: CapturedTelemetry, fixed_clock: FixedClock
) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, reports_per_minute=1, **telemetry.providers)

    @app.get("/boom")
    def boom() -> str:
        raise LookupError("no such thing")

    for _ in range(3):
        app.test_client().get("/boom")
        fixed_clock.advance(1)
    app.extensions["otelflask"].telemetry.flush()
    times = {(record.event_name, record.timestamp - START_NS) for record in telemetry.logs}
    # Of three occurrences one is reported whole. The others are counted together, with the time of the last.
    assert {item for item in times if item[0] in ("exception", "otelflask.error_group")} == {
        ("exception", 0),
        ("otelflask.error_group", 0),
        ("otelflask.error_group", 2_000_000_000),
    }


def test_a_circuit_breakers_change_of_state_reads_the_fixed_clock(
    app: flask.Flask, telemetry: CapturedTelemetry, fixed_clock: FixedClock
) -> None:
    from otelflask._internal.breaker.breaker import CircuitBreaker

    breaker = CircuitBreaker("clocked", reset_timeout=30)
    with app.app_context():
        breaker.open()
        fixed_clock.advance(31)
        assert breaker.call(lambda: "well") == "well"
    told = [
        record.timestamp - START_NS for record in telemetry.logs if record.event_name == "otelflask.circuit_breaker"
    ]
    assert told == [0, 31_000_000_000, 31_000_000_000]


def test_no_module_but_the_clock_asks_for_the_time_of_telemetry() -> None:
    asks = re.compile(r"\b(?:time_ns|perf_counter(?:_ns)?)\b|datetime\.(?:utc)?now")
    found = []
    for path in Path(otelflask.__file__).parent.rglob("*.py"):
        if path.name == "clock.py" or "demo" in path.parts:
            continue
        found += [f"{path.name}: {line.strip()}" for line in path.read_text().splitlines() if asks.search(line)]
    assert [line for line in found if "clock." not in line] == []


KIT = """
import flask, otelflask, pytest

@pytest.mark.parametrize("number", range(3))
def test_each_begins_anew(captured_telemetry, number):
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **captured_telemetry.providers)
    otelflask.event("order.placed", number=number)
    app.logger.warning("line")
    assert app.test_client().get("/").status_code == 404
    names = [record.event_name for record in captured_telemetry.logs]
    assert names == ["order.placed", None, "http.server.request"]
    assert len(captured_telemetry.spans) == 1

def test_one_without_the_kit_is_not_given_what_has_ended():
    app = flask.Flask("plain")
    otelflask.init(app, runtime_metrics=False)
    resource = app.extensions["otelflask"].telemetry.pipeline.resource
    assert resource["service.name"] == "plain"
"""


def test_tests_that_follow_one_another_begin_anew(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(KIT)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        env={**os.environ, **NO_EXPORT},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
    assert done.stderr == ""
