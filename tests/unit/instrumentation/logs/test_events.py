"""Business events."""

from __future__ import annotations

from decimal import Decimal

import flask
import pytest

import otelflask
from otelflask._internal import event_names
from otelflask._internal.instrumentation.logs import events
from otelflask.testing import CapturedTelemetry

OURS = sorted(value for name, value in vars(event_names).items() if name.isupper() and isinstance(value, str))
OURS.remove(event_names.NOT_ALLOWED)


def _say(app: flask.Flask, *said: tuple[str, dict[str, object]]) -> None:
    @app.get("/say")
    def say() -> str:
        for name, attributes in said:
            otelflask.event(name, **attributes)
        return "ok"

    assert app.test_client().get("/say").status_code == 200


def test_an_event_is_a_record_with_typed_attributes_on_the_current_trace(
    app: flask.Flask, telemetry: CapturedTelemetry
) -> None:
    _say(
        app, ("order.placed", {"order_id": 7, "amount": 12.5, "gift": True, "lines": ["a", "b"], "vat": Decimal("1.2")})
    )
    (record,) = [record for record in telemetry.logs if record.event_name == "order.placed"]
    (span,) = telemetry.spans
    assert (record.trace_id, record.span_id) == (span.context.trace_id, span.context.span_id)
    assert dict(record.attributes) == {
        "order_id": 7,
        "amount": 12.5,
        "gift": True,
        "lines": ["a", "b"],
        "vat": "1.2",
    }


def test_events_are_counted_by_name(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    _say(app, ("order.placed", {}), ("order.placed", {}), ("order.cancelled", {}))
    counts = {point.attributes["event.name"]: point.value for point in telemetry.points("otelflask.events")}
    assert counts == {"order.placed": 2, "order.cancelled": 1}


def test_names_without_end_are_counted_together(
    app: flask.Flask, telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_NAMES", 2)
    _say(app, *((f"order.{number}", {}) for number in range(5)))
    counts = {point.attributes["event.name"]: point.value for point in telemetry.points("otelflask.events")}
    assert counts == {"order.0": 1, "order.1": 1, "_OTHER": 3}
    assert [record.event_name for record in telemetry.logs][:5] == [f"order.{number}" for number in range(5)]


@pytest.mark.parametrize("name", ["", *OURS, "otelflask.of_a_later_version"])
def test_a_name_that_cannot_be_an_events_is_said_and_not_sent(
    app: flask.Flask, telemetry: CapturedTelemetry, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    _say(app, (name, {}))
    assert [record.event_name for record in telemetry.logs] == ["http.server.request"]
    assert f"{name!r} is not a valid event name" in caplog.text


def test_attributes_may_have_any_name(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    _say(app, ("user.renamed", {"name": "ann", "event.name": "x"}))
    (record,) = [record for record in telemetry.logs if record.event_name == "user.renamed"]
    assert record.attributes["name"] == "ann"
