"""Captured headers, by keyword and by environment."""

from __future__ import annotations

import flask

import otelflask
from otelflask.testing import CapturedTelemetry


def test_named_headers_are_on_the_span_and_sanitised_ones_masked(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("x")
    otelflask.init(
        app,
        runtime_metrics=False,
        request_headers="Accept,X-.*",
        response_headers="X-Out",
        sanitized_headers="X-Private",
        **telemetry.providers,
    )

    @app.get("/")
    def index() -> flask.Response:
        response = flask.Response("")
        response.headers.add("X-Out", "1")
        response.headers.add("X-Out", "2")
        return response

    app.test_client().get("/", headers={"Accept": "*/*", "X-One": "1", "X-Private": "p", "Other": "no"})
    attributes = telemetry.span("GET /").attributes or {}
    assert {k: v for k, v in attributes.items() if ".header." in k} == {
        "http.request.header.accept": ["*/*"],
        "http.request.header.x-one": ["1"],
        "http.request.header.x-private": ["[REDACTED]"],
        "http.response.header.x-out": ["1", "2"],
    }


def test_a_header_whose_name_is_long_is_not_looked_at(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("x")
    otelflask.init(app, runtime_metrics=False, request_headers=".*", response_headers=".*", **telemetry.providers)
    app.add_url_rule("/", "index", lambda: ("", 200, {"X-Short": "1", "X-" + "a" * 300: "1"}))
    app.test_client().get("/", headers={"X-" + "b" * 300: "1", "X-Asked": "1"})
    names = [name for name in telemetry.span("GET /").attributes or {} if ".header." in name]
    assert {"http.request.header.x-asked", "http.response.header.x-short"} <= set(names)
    assert max(map(len, names)) < 300


def test_of_a_long_url_the_beginning_is_compared_with_those_excluded(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("x")
    otelflask.init(app, runtime_metrics=False, excluded_urls="/quiet", **telemetry.providers)
    app.add_url_rule("/<path:path>", "any", lambda path: "")
    app.test_client().get(f"/quiet/{'a' * 4_000}")
    assert telemetry.spans == []
    app.test_client().get(f"/{'a' * 4_000}/quiet")
    assert len(telemetry.spans) == 1


def test_several_apps_of_one_process_each_have_their_spans(telemetry: CapturedTelemetry) -> None:
    for name in ("one", "two"):
        app = flask.Flask(name)
        otelflask.init(app, runtime_metrics=False, **telemetry.providers)
        app.add_url_rule(f"/{name}", view_func=lambda: "")
        app.test_client().get(f"/{name}")
    assert [span.name for span in telemetry.spans] == ["GET /one", "GET /two"]
    assert sum(p.count for p in telemetry.points("http.server.request.duration")) == 2
