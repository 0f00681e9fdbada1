"""The public test kit does what its docs say."""

from __future__ import annotations

import flask
import pytest

from otelflask.testing import CapturedTelemetry, FixedClock
from otelflask.testing.clock import START_NS


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
