"""A course's chapter on error handling and monitoring, by hand and with otelflask."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import free_port
from tests.servers import redis as redis_server
from tests.tutorials.running import FORMS, SENDING, Running, form_of, running

pytestmark = pytest.mark.slow

THRESHOLD = 0.2


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(scope="module", params=FORMS)
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("course")
    variables = {
        "FLASK_REDIS_URL": redis_url,
        "FLASK_SLOW_QUERY_THRESHOLD": str(THRESHOLD),
        "FLASK_OTELFLASK_SLOW_QUERY_THRESHOLD": str(THRESHOLD),
        "OTELFLASK_SLOW_QUERY_THRESHOLD": str(THRESHOLD),
    }
    if request.param == "init":
        # Details and profiles are for those who may see them.
        variables["OTELFLASK_ENVIRONMENT"] = "development"
    with running("course", form_of(request), folder, **variables) as found:
        yield found


def test_a_success_has_the_envelope(app: Running) -> None:
    answer = app.ask("/api/ok")
    assert answer.status == 200
    assert {"success": True, "message": "行", "data": {"n": 1}}.items() <= answer.json.items()
    assert isinstance(answer.json["timestamp"], int)
    assert app.ask("/api/items", "POST", {"name": "茶壶"}).status == 201


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        (
            "POST",
            "/api/items",
            {"name": ""},
            400,
            {"message": "名称不能为空", "code": 400, "details": {"field": "name"}},
        ),
        ("GET", "/api/private", None, 401, {"message": "请先登录", "code": 401}),
        ("GET", "/api/forbidden", None, 403, {"message": "没有权限", "code": 403}),
        ("GET", "/api/items/99", None, 404, {"message": "没有这个物品", "code": 404, "details": {"id": 99}}),
        ("GET", "/api/missing", None, 404, {"code": 404}),
        ("DELETE", "/api/ok", None, 405, {"code": 405}),
        ("GET", "/api/crash", None, 500, {"code": 500}),
    ],
)
def test_an_error_has_message_code_and_details(
    app: Running, method: str, path: str, body: Any, status: int, error: dict[str, Any]
) -> None:
    answer = app.ask(path, method, body)
    assert answer.status == status
    found = answer.json["error"]
    details = error.pop("details", None) if isinstance(error.get("details"), dict) else None
    assert error.items() <= found.items()
    if details is not None:
        assert details.items() <= found["details"].items()
    assert "ZeroDivisionError" not in answer.text


@pytest.mark.parametrize(("path", "status"), [("/missing", 404), ("/crash", 500)])
def test_a_browser_gets_the_apps_page(app: Running, path: str, status: int) -> None:
    answer = app.page(path)
    assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (status, "text/html")
    assert f"<h1>{status}</h1>" in answer.text


def test_errors_are_in_both_files_with_their_traceback(app: Running) -> None:
    app.ask("/api/crash")
    line = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] ERROR in \w+: .*/api/crash.*"
    for name in ("logs/app.log", "logs/error.log"):
        assert any(re.fullmatch(line, found) for found in app.lines(name, "ERROR"))
        assert any("ZeroDivisionError" in found for found in app.lines(name, "ZeroDivisionError"))
    assert not any("] INFO " in found for found in app.lines("logs/error.log"))


def test_lines_are_written_as_people_read_them(app: Running) -> None:
    app.ask("/api/users/7")
    (found, *_) = app.lines("logs/app.log", "查看用户 7")
    assert re.fullmatch(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] INFO in views: 查看用户 7", found)


def test_each_request_has_a_structured_line_with_its_user(app: Running) -> None:
    app.ask("/api/users/8", User_Agent="me/1.0")
    if app.form == "by_hand":
        (line, *_) = app.lines("logs/app.log", "me/1.0")
        entry = json.loads(line[line.index("{") :])
        assert entry["user_id"] == 8
        found = (entry["request"]["method"], entry["request"]["user_agent"], entry["response"]["status_code"])
        assert found == ("GET", "me/1.0", 200)
        assert entry["request"]["remote_addr"] == "127.0.0.1"
        assert entry["response"]["response_time_ms"] > 0
        return
    records = app.records("http.server.request", "/api/users/8")
    attributes = records[0].attributes
    expected = {
        "http.request.method": "GET",
        "url.path": "/api/users/8",
        "client.address": "127.0.0.1",
        "user_agent.original": "me/1.0",
        "http.response.status_code": 200,
        "user.id": "8",
    }
    assert expected.items() <= attributes.items()
    assert attributes["http.server.request.duration"] > 0


def test_a_business_event_has_type_user_and_data(app: Running) -> None:
    app.ask("/api/users/9")
    if app.is_by_hand:
        entries = [json.loads(line[line.index("{") :]) for line in app.lines("logs/app.log", '"event_type"')]
        (event, *_) = [entry for entry in entries if entry["user_id"] == 9]
        assert (event["event_type"], event["data"]["页面"]) == ("user.viewed", "用户")
    if app.form == "init":
        (event, *_) = app.records("user.viewed", user__id="9")
        assert event.attributes["页面"] == "用户"


def test_requests_and_statements_are_counted_under_the_names_of_the_tutorial(app: Running) -> None:
    for _ in range(3):
        app.ask("/api/users/5")
    found = app.metrics()
    assert found['flask_requests_total{endpoint="show_user",method="GET",status="200"}'] >= 3
    assert found['flask_request_duration_seconds_count{endpoint="show_user",method="GET"}'] >= 3
    assert found["flask_active_users"] >= 1
    for operation in ("SELECT", "INSERT"):
        assert found[f'db_query_count_total{{operation="{operation}"}}'] >= 3
    assert found["db_query_duration_count"] >= 6


def test_a_slow_statement_is_a_warning_with_its_beginning(app: Running) -> None:
    app.ask("/api/slow")
    assert any("SELECT sleep" in line and "WARN" in line for line in app.lines("logs/app.log", "SELECT sleep"))


def test_any_profile_parameter_names_the_most_expensive_functions(app: Running) -> None:
    answer = app.ask("/api/slow?profile=yes")
    assert answer.json["data"]["seconds"] > 0
    assert "slow" in answer.headers["X-Profile-Stats"]
    assert "X-Profile-Stats" not in app.ask("/api/slow").headers


def test_health_has_each_check_with_its_time(app: Running) -> None:
    answer = app.ask("/health")
    assert (answer.status, answer.json["status"]) == (200, "healthy")
    assert answer.json["timestamp"]
    checks = answer.json["checks"]
    assert {"database", "redis", "disk_space", "memory"} <= set(checks)
    for name in ("database", "redis", "disk_space", "memory"):
        assert checks[name]["status"] == "healthy"
        assert checks[name]["response_time_ms"] >= 0
    assert app.ask("/health/ready").json["status"] == "ready"
    assert app.ask("/health/live").json["status"] == "alive"


@pytest.mark.parametrize("form", FORMS)
def test_health_is_503_without_redis(form: str, tmp_path: Path) -> None:
    with running(
        "course", form, tmp_path, FLASK_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0", FLASK_DEBUG="1"
    ) as app:
        answer = app.ask("/health")
        assert (answer.status, answer.json["status"]) == (503, "unhealthy")
        assert answer.json["checks"]["redis"]["status"] == "unhealthy"
        assert "refused" in answer.json["checks"]["redis"]["error"]
        assert answer.json["checks"]["database"]["status"] == "healthy"


@pytest.mark.parametrize("form", FORMS)
def test_a_breaker_opens_after_five_failures(form: str, tmp_path: Path) -> None:
    with running("course", form, tmp_path, FLASK_FLAKY="true", FLASK_BREAKER_TIMEOUT="60") as app:
        assert [app.ask("/api/flaky").status for _ in range(5)] == [500] * 5
        answer = app.ask("/api/flaky")
        # By hand, the breaker's exception is one more unexpected one.
        assert answer.status == (500 if app.is_by_hand else 503)
        if form == "init":
            assert int(answer.headers["Retry-After"]) in range(1, 61)
            (opened, *_) = app.records("otelflask.circuit_breaker")
            name = "tests.tutorials.with_otelflask.course.views.init_app.<locals>.fetch_price"
            assert opened.attributes["otelflask.circuit_breaker.name"] == name


@pytest.mark.parametrize("form", FORMS)
def test_profiling_enabled_fills_the_folder_of_profiles(form: str, tmp_path: Path) -> None:
    with running("course", form, tmp_path, FLASK_PROFILING_ENABLED="true") as app:
        app.ask("/api/users/1")
        assert list((tmp_path / "profiles").glob("*api*" if app.is_by_hand else "*.profile.json"))


@pytest.mark.parametrize("form", FORMS)
def test_the_console_has_the_lines_in_debug_mode_alone(form: str, tmp_path: Path) -> None:
    with running("course", form, tmp_path, FLASK_DEBUG="1") as app:
        app.ask("/api/users/3")
        assert app.lines("output.txt", "查看用户 3")


def test_telemetry_arrives(app: Running) -> None:
    if app.form not in SENDING:
        pytest.skip("by hand nothing is sent")
    app.ask("/api/users/4")
    (span, *_) = app.spans("GET /api/users/<int:user_id>")
    assert span.attributes["http.response.status_code"] == 200
    app.ask("/api/crash")
    (report, *_) = app.records("exception")
    assert report.attributes["exception.type"] == "ZeroDivisionError"
