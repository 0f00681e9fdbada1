"""All endpoints in front of an app behave alike: health, metrics and live page."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path
from typing import Any

import flask
import pytest

import otelflask
from otelflask._internal import guard
from otelflask._internal.live_page.show.views import Views
from otelflask._internal.metrics_page.endpoint import MetricsPage
from otelflask.testing import CapturedTelemetry
from tests.unit.conftest import join_checks

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


@pytest.mark.parametrize(
    ("path", "broken"), [("/metrics", (MetricsPage, "shown")), ("/monitoring/requests", (Views, "view"))], ids=str
)
def test_one_that_fails_answers_500_and_the_app_goes_on(
    shop: flask.Flask,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    path: str,
    broken: tuple[type, str],
) -> None:
    def fail(*arguments: object) -> None:
        raise LookupError("broken")

    monkeypatch.setenv("OTELFLASK_GUARD", "swallow")
    monkeypatch.setattr(guard, "_last_logged", {})
    monkeypatch.setattr(*broken, fail)
    assert _ask(shop, path).status_code == 500
    assert _ask(shop, "/nowhere").status_code == 404
    assert "telemetry error while answering at an endpoint" in caplog.text


def _basic(user_and_password: bytes) -> str:
    return "Basic " + base64.b64encode(user_and_password).decode()


GUARDED = ["/health", "/metrics", "/monitoring", "/?profile=1"]
TOKEN = "tökén=="


def _as_wsgi(token: str) -> str:
    """A header's bytes as a server passes them (PEP 3333)."""
    return token.encode().decode("latin-1")


@pytest.fixture
def locked(telemetry: CapturedTelemetry, tmp_path: Path) -> flask.Flask:
    """The shop in production: each endpoint requires a token."""
    app = flask.Flask("shop")
    app.add_url_rule("/", "index", lambda: "the app's own")
    otelflask.init(
        app,
        environment="production",
        metrics_path="/metrics",
        health_token=TOKEN,
        metrics_token=TOKEN,
        monitor="on",
        monitor_token=TOKEN,
        profile_token=TOKEN,
        state_dir=str(tmp_path),
        runtime_metrics=False,
        **telemetry.providers,
    )
    return app


def _is_let_in(answer: Any, path: str) -> bool:
    if path == "/health":
        return "service" in answer.json
    if path == "/?profile=1":
        return bool(answer.text != "the app's own")
    return bool(answer.status_code == 200)


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "sent",
    [
        f"Bearer {_as_wsgi(TOKEN)}",
        f"bearer  {_as_wsgi(TOKEN)}",
        _basic(b"anybody:" + TOKEN.encode()),
        _basic(b":" + TOKEN.encode()),
    ],
)
def test_who_has_the_token_is_let_in_whatever_it_is_made_of(locked: flask.Flask, path: str, sent: str) -> None:
    assert _is_let_in(_ask(locked, path, HTTP_AUTHORIZATION=sent), path)


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "sent",
    [
        "",
        "Basic",
        "Basic \xff\xfe",
        "Basic \u20ac",
        "Basic %%%",
        _basic(b"\xff\xfe"),
        _basic(b"anybody:\xff"),
        _basic(TOKEN.encode()),
        "Bearer",
        "Bearer \xff",
        "Bearer \u20ac",
        f"Digest {_as_wsgi(TOKEN)}",
        _as_wsgi(TOKEN),
        f"Bearer token={_as_wsgi(TOKEN)}",
    ],
    ids=ascii,
)
def test_what_is_no_token_lets_nobody_in_and_breaks_nothing(locked: flask.Flask, path: str, sent: str) -> None:
    answer = _ask(locked, path, HTTP_AUTHORIZATION=sent)
    assert answer.status_code < 500
    assert not _is_let_in(answer, path)


@pytest.mark.parametrize("query", ["token=\xff", "token=%ff", "q=\xff", "\xff", "%ff=%fe"], ids=ascii)
@pytest.mark.parametrize("path", ["/monitoring", "/monitoring/requests", "/metrics", "/health/ready"])
def test_a_query_that_is_no_utf_8_breaks_nothing(locked: flask.Flask, path: str, query: str) -> None:
    _ask(locked, path)
    join_checks()
    unasked, asked = _ask(locked, path), _ask(locked, path, QUERY_STRING=query)
    assert asked.status_code == unasked.status_code < 500
    admitted = _ask(locked, path, QUERY_STRING=query, HTTP_AUTHORIZATION=f"Bearer {_as_wsgi(TOKEN)}")
    assert admitted.status_code == 200
