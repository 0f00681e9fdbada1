"""Observers of requests: called in order, each whatever happens to the others."""

from __future__ import annotations

import flask
import pytest

import otelflask
from otelflask._internal.error_reports.reporter import Reporter
from otelflask._internal.instrumentation.http.instrumentor import EXTENSION_KEY
from otelflask._internal.instrumentation.http.metrics import HttpMetrics
from otelflask._internal.request_record import RequestRecord
from otelflask.testing import CapturedTelemetry


def test_observers_stand_in_one_list_in_the_order_in_which_they_are_told(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, environment="development", **telemetry.providers)
    names = [type(observer).__name__ for observer in app.extensions[EXTENSION_KEY]._observers.all]
    assert names == ["RequestQueries", "ActiveUsers", "Reporter", "HttpMetrics", "RequestSignals", "Ring"]


def test_an_observer_that_raises_costs_neither_the_app_nor_the_others_anything(
    telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTELFLASK_GUARD", "swallow")
    monkeypatch.setattr(HttpMetrics, "opened", lambda self, record: 1 / 0)
    monkeypatch.setattr(HttpMetrics, "closed", lambda self, record: 1 / 0)
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    assert app.test_client().get("/").status_code == 404
    assert [span.name for span in telemetry.spans] == ["GET"]
    assert [record.event_name for record in telemetry.logs] == ["http.server.request"]
    assert "telemetry error while closing a request" in caplog.text


def test_what_ends_one_observer_does_not_keep_the_others_from_the_end(
    telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: HttpMetrics, record: RequestRecord) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(HttpMetrics, "closed", stopped)
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    with pytest.raises(KeyboardInterrupt):
        app.test_client().get("/")
    assert [span.name for span in telemetry.spans] == ["GET"]
    assert [record.event_name for record in telemetry.logs] == ["http.server.request"]


def test_what_surrounds_a_request_and_raises_does_not_reach_the_app(
    telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(observer: object, record: RequestRecord) -> None:
        raise LookupError("no scopes")

    monkeypatch.setenv("OTELFLASK_GUARD", "swallow")
    monkeypatch.setattr(Reporter, "around", fail)
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    assert app.test_client().get("/").status_code == 404
    assert len(telemetry.spans) == 1
