"""What answers in front of an app does so in one way: health, metrics and live page."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import flask
import pytest

import otelflask
from otelflask import guard
from otelflask.endpoint import Endpoint
from otelflask.testing import CapturedTelemetry

PATHS = ["/health", "/health/ready", "/metrics", "/monitoring", "/monitoring/requests"]
LOCAL = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1"}


@pytest.fixture
def shop(telemetry: CapturedTelemetry, tmp_path: Path) -> flask.Flask:
    app = flask.Flask("shop")
    otelflask.init(
        app,
        environment="development",
        metrics_path="/metrics",
        state_dir=str(tmp_path),
        runtime_metrics=False,
        **telemetry.providers,
    )
    return app


def _ask(app: flask.Flask, path: str, method: str = "GET", **environ: str) -> Any:
    return app.test_client().open(path, method=method, environ_overrides={**LOCAL, **environ})


@pytest.mark.parametrize("path", PATHS)
def test_it_leaves_no_telemetry(shop: flask.Flask, telemetry: CapturedTelemetry, path: str) -> None:
    assert _ask(shop, path).status_code == 200
    assert telemetry.spans == []
    assert telemetry.logs == []
    assert telemetry.points("http.server.request.duration") == []


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_a_body(shop: flask.Flask, path: str) -> None:
    given, head = _ask(shop, path), _ask(shop, path, "HEAD")
    assert (head.status_code, head.data) == (given.status_code, b"")
    assert head.content_type == given.content_type
    assert head.headers["Cache-Control"] == given.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "FOO"])
def test_other_methods_are_the_apps(shop: flask.Flask, path: str, method: str) -> None:
    assert _ask(shop, path, method).status_code == 404


@pytest.mark.parametrize("path", ["/metrics", "/monitoring/requests"])
def test_a_large_answer_is_compressed_where_the_client_takes_it(shop: flask.Flask, path: str) -> None:
    for _ in range(3):
        _ask(shop, "/nowhere")
    zipped = _ask(shop, path, HTTP_ACCEPT_ENCODING="gzip")
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert len(gzip.decompress(zipped.data)) > len(zipped.data) == int(zipped.headers["Content-Length"])
    for refused in ({}, {"HTTP_ACCEPT_ENCODING": "gzip;q=0, br"}):
        assert "Content-Encoding" not in _ask(shop, path, **refused).headers


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics"])
def test_where_the_app_has_a_rule_the_apps_counts(shop: flask.Flask, path: str) -> None:
    shop.add_url_rule(path, view_func=lambda: "the app's own", endpoint="own")
    assert _ask(shop, path).text == "the app's own"


@pytest.mark.parametrize("path", ["/healthy", "/metrics2", "/monitoring2", "/health/other"])
def test_a_path_that_only_begins_alike_is_the_apps(shop: flask.Flask, path: str) -> None:
    assert _ask(shop, path).status_code == 404


@pytest.mark.parametrize("path", ["/metrics", "/monitoring/requests"])
def test_one_that_fails_answers_500_and_the_app_goes_on(
    shop: flask.Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    def fail(endpoint: Endpoint, *arguments: object) -> None:
        raise LookupError("broken")

    monkeypatch.setenv("OTELFLASK_GUARD", "swallow")
    monkeypatch.setattr(guard, "_last_said", {})
    for kind in Endpoint.__subclasses__():
        monkeypatch.setattr(kind, "answer", fail)
    assert _ask(shop, path).status_code == 500
    assert _ask(shop, "/nowhere").status_code == 404
    assert "telemetry error in an endpoint" in caplog.text
