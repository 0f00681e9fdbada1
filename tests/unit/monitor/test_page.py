"""The live page's answers, and who gets them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import flask
import pytest

import otelflask
from otelflask.settings import SettingError
from otelflask.testing import CapturedTelemetry

LOCAL = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:5000"}


@pytest.fixture
def make(telemetry: CapturedTelemetry, tmp_path: Path) -> Any:
    def made(**settings: Any) -> flask.Flask:
        app = flask.Flask("shop")
        app.add_url_rule("/items/<int:item>", "item", lambda item: f"item {item}")
        app.add_url_rule("/boom", "boom", lambda: 1 // 0)
        app.add_url_rule("/say", "say", lambda: (app.logger.warning("said <b>%s</b>", "this"), "ok")[1])
        options = {"environment": "development", "state_dir": str(tmp_path), "runtime_metrics": False}
        otelflask.init(app, **telemetry.providers, **{**options, **settings})
        return app

    return made


def _ask(app: flask.Flask, path: str, **environ: str) -> Any:
    return app.test_client().get(path, environ_overrides={**LOCAL, **environ})


def test_requests_are_shown_newest_first_with_what_a_row_needs(make: Any) -> None:
    app = make()
    _ask(app, "/items/1")
    _ask(app, "/boom")
    found = _ask(app, "/monitoring/api/requests").get_json()["requests"]
    assert [(row["method"], row["path"], row["route"], row["status"]) for row in found] == [
        ("GET", "/boom", "/boom", 500),
        ("GET", "/items/1", "/items/<int:item>", 200),
    ]
    assert found[0]["error"] == "ZeroDivisionError"
    assert found[1]["duration"] > 0


def test_a_cursor_gives_only_what_is_new(make: Any) -> None:
    app = make()
    _ask(app, "/items/1")
    (first,) = _ask(app, "/monitoring/api/requests").get_json()["requests"]
    _ask(app, "/items/2")
    (second,) = _ask(app, f"/monitoring/api/requests?after={first['id']}").get_json()["requests"]
    assert second["path"] == "/items/2"
    assert _ask(app, f"/monitoring/api/requests?after={second['id']}").get_json()["requests"] == []


@pytest.mark.parametrize(
    ("filters", "paths"),
    [
        ("status=5xx", ["/boom"]),
        ("status=404", ["/nowhere"]),
        ("route=/items/<int:item>", ["/items/2", "/items/1"]),
        ("text=ITEMS/2", ["/items/2"]),
        ("text=zerodivision", ["/boom"]),
        ("slower=60000", []),
    ],
)
def test_filters(make: Any, filters: str, paths: list[str]) -> None:
    app = make()
    for path in ("/items/1", "/items/2", "/nowhere", "/boom"):
        _ask(app, path)
    found = _ask(app, f"/monitoring/api/requests?{filters}").get_json()
    assert [row["path"] for row in found["requests"]] == paths
    assert found["routes"] == ["/boom", "/items/<int:item>"]


def test_a_trace_has_its_spans_and_its_lines(make: Any) -> None:
    app = make()
    _ask(app, "/say")
    (request,) = _ask(app, "/monitoring/api/requests").get_json()["requests"]
    items = _ask(app, f"/monitoring/api/trace/{request['trace_id']}").get_json()["items"]
    assert [item["name"] for item in items if item["is"] == "span"] == ["GET /say"]
    assert [item["text"] for item in items if item["is"] == "log" and not item["event"]] == ["said <b>this</b>"]


def test_lines_errors_and_their_reports_are_shown(make: Any) -> None:
    app = make()
    _ask(app, "/say")
    _ask(app, "/boom")
    lines = _ask(app, "/monitoring/api/logs?severity=13").get_json()["logs"]
    assert "said <b>this</b>" in [line["text"] for line in lines]
    (group,) = _ask(app, "/monitoring/api/errors").get_json()["errors"]
    assert (group["count"], "ZeroDivisionError" in group["title"]) == (1, True)
    report = _ask(app, f"/monitoring/api/error/{group['fingerprint']}").get_json()["report"]
    assert report["attributes"]["exception.type"] == "ZeroDivisionError"
    assert "otelflask.error.frames" in report["attributes"]


def test_the_overview_counts_requests_and_names_routes_and_workers(make: Any) -> None:
    app = make()
    for _ in range(3):
        _ask(app, "/items/1")
    _ask(app, "/boom")
    found = _ask(app, "/monitoring/api/overview").get_json()
    assert (found["total"]["count"], found["total"]["failed"], found["total"]["share"]) == (4, 1, 0.25)
    assert sum(point["count"] for point in found["points"]) == 4
    assert {row["route"] for row in found["slowest"]} == {"/items/<int:item>", "/boom"}
    assert [row["route"] for row in found["failing"]] == ["/boom"]
    assert [row["pid"] for row in found["processes"]] == [os.getpid()]
    assert found["processes"][0]["memory"] > 1_000_000
    assert _ask(app, "/monitoring/api/overview?minutes=60").get_json()["total"]["count"] == 4
    assert _ask(app, "/monitoring/api/overview?minutes=7").status_code == 400


def test_the_overview_has_the_outcomes_of_health_checks(make: Any) -> None:
    app = make()
    assert _ask(app, "/health").status_code == 200
    found = _ask(app, "/monitoring/api/overview").get_json()
    assert {row["name"]: row["status"] for row in found["health"]}["memory"] in ("pass", "warn")


def test_secrets_are_masked(make: Any) -> None:
    app = make()
    _ask(app, "/items/1?token=s3cr3t-value")
    (request,) = _ask(app, "/monitoring/api/requests").get_json()["requests"]
    assert b"s3cr3t" not in _ask(app, f"/monitoring/api/trace/{request['trace_id']}").data


def test_the_page_is_not_among_what_it_shows(make: Any, telemetry: CapturedTelemetry) -> None:
    app = make()
    for path in ("/monitoring", "/monitoring/api/requests", "/monitoring/api/logs"):
        assert _ask(app, path).status_code == 200
    assert (telemetry.spans, telemetry.logs) == ([], [])
    assert _ask(app, "/monitoring/api/requests").get_json()["requests"] == []


def test_the_shell_has_a_strict_policy_and_assets_that_are_there(make: Any) -> None:
    app = make()
    shell = _ask(app, "/monitoring")
    policy = shell.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    sources = [part.split('"')[0] for part in shell.text.split('="/monitoring/')[1:]]
    assert len(sources) == 3
    for source in sources:
        assert _ask(app, f"/monitoring/{source}").status_code == 200


def test_below_a_prefix_its_addresses_have_it(make: Any) -> None:
    shell = _ask(make(), "/monitoring", SCRIPT_NAME="/shop")
    assert 'data-base="/shop/monitoring"' in shell.text
    assert 'src="/shop/monitoring/assets/' in shell.text


@pytest.mark.parametrize("path", ["/monitoring", "/monitoring/", "/monitoring/api/requests", "/monitoring/assets/x.js"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        ({"environment": "production"}, {}),
        ({"monitor": "off"}, {}),
        ({}, {"REMOTE_ADDR": "10.0.0.7"}),
        ({}, {"HTTP_HOST": "evil.example"}),
        ({}, {"HTTP_X_FORWARDED_FOR": "10.0.0.7"}),
        ({"monitor": "on", "monitor_token": "t0ken"}, {}),
        ({"monitor": "on", "monitor_token": "t0ken"}, {"HTTP_COOKIE": "otelflask_monitor=wrong"}),
    ],
    ids=str,
)
def test_to_who_may_not_see_it_every_path_is_the_apps_own_404(
    make: Any, settings: dict[str, str], environ: dict[str, str], method: str, path: str
) -> None:
    client = make(**settings).test_client()
    answer = client.open(path, method=method, environ_overrides={**LOCAL, **environ})
    own = client.open("/nowhere", method=method, environ_overrides={**LOCAL, **environ})
    assert (answer.status_code, answer.mimetype) == (own.status_code, own.mimetype) == (404, own.mimetype)


def test_a_token_is_sent_once_and_becomes_a_cookie_that_is_not_the_token(make: Any) -> None:
    client = make(environment="production", monitor="on", monitor_token="t0ken").test_client()
    far = {"REMOTE_ADDR": "10.0.0.7"}
    assert client.get("/monitoring?token=wrong", environ_overrides=far).status_code == 404
    sent = client.get("/monitoring?token=t0ken", environ_overrides=far)
    assert (sent.status_code, sent.headers["Location"]) == (303, "/monitoring")
    cookie = sent.headers["Set-Cookie"]
    assert "t0ken" not in cookie
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/monitoring"))
    assert client.get("/monitoring", environ_overrides=far).status_code == 200
    assert client.get("/monitoring/api/requests", environ_overrides=far).status_code == 200


def test_a_function_of_the_users_decides(make: Any) -> None:
    app = make(
        environment="production", monitor="on", may_monitor=lambda environ: environ.get("HTTP_X_ROLE") == "admin"
    )
    assert app.test_client().get("/monitoring").status_code == 404
    assert app.test_client().get("/monitoring", headers={"X-Role": "admin"}).status_code == 200


def test_on_for_nobody_is_an_error_that_says_what_to_set(make: Any) -> None:
    with pytest.raises(SettingError, match=r"nobody could see the page; allowed is to set monitor_token"):
        make(monitor="on")


def test_what_is_asked_wrongly_is_said(make: Any) -> None:
    app = make()
    assert _ask(app, "/monitoring/api/requests?after=x").status_code == 400
    assert "allowed is a whole number" in _ask(app, "/monitoring/api/requests?after=x").get_json()["error"]
    assert _ask(app, "/monitoring/api/trace/..%2f..").status_code == 400


def test_a_folder_that_cannot_be_used_is_said_on_the_page_and_costs_the_app_nothing(make: Any, tmp_path: Path) -> None:
    app = make()
    tmp_path.chmod(0o777)
    answer = _ask(app, "/monitoring/api/requests")
    assert answer.status_code == 503
    assert "state_dir" in answer.get_json()["error"]
    assert _ask(app, "/items/1").status_code == 200
