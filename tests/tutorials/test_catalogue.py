"""One's own JSON errors by subclassing HTTPException, by hand and with otelflask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tutorials.running import FORMS, SENDING, Running, form_of, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=FORMS)
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running("catalogue", form_of(request), tmp_path_factory.mktemp("catalogue")) as found:
        yield found


@pytest.mark.parametrize(
    ("path", "status", "code", "msg"),
    [
        ("/success", 201, 0, "成功"),
        ("/deleted", 202, 1, "已删除"),
        ("/updated", 200, 2, "已更新"),
        ("/server-error", 500, 999, "服务器出错了"),
        ("/parameter", 400, 1000, "参数有误"),
        ("/not-found", 404, 1001, "没有找到"),
        ("/forbidden", 403, 1004, "不允许"),
        ("/auth", 401, 1005, "认证失败"),
    ],
)
def test_each_class_answers_with_its_status_code_and_message(
    app: Running, path: str, status: int, code: int, msg: str
) -> None:
    answer = app.ask(f"{path}?password=1")
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
    assert answer.json == {"msg": msg, "error_code": code, "request": f"GET {path}"}


def test_headers_of_an_exception_are_sent(app: Running) -> None:
    assert app.ask("/auth").headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("code", [403, 405, 418])
def test_werkzeugs_exceptions_have_the_same_shape(app: Running, code: int) -> None:
    answer = app.ask(f"/abort/{code}")
    assert (answer.status, answer.json["error_code"]) == (code, 1007)
    assert set(answer.json) == {"msg", "error_code", "request"}


def test_an_unexpected_error_says_nothing_of_itself(app: Running) -> None:
    answer = app.ask("/crash")
    assert (answer.status, answer.json["error_code"]) == (500, 999)
    assert "division" not in answer.text


@pytest.mark.parametrize("form", FORMS)
def test_in_debug_mode_the_exception_is_handed_on(form: str, tmp_path: Path) -> None:
    with running("catalogue", form, tmp_path, FLASK_DEBUG="1") as app:
        # gunicorn's own answer to an exception that reaches it.
        assert app.ask("/crash").status == 500
        assert app.lines("output.txt", "ZeroDivisionError: division by zero")


def test_a_raised_success_is_no_error_in_telemetry(app: Running) -> None:
    if app.form not in SENDING:
        pytest.skip("by hand nothing is sent")
    app.ask("/deleted")
    (span, *_) = app.spans("GET /deleted")
    assert (span.attributes["http.response.status_code"], span.message.status.code) == (202, 0)
    app.ask("/crash")
    (report, *_) = app.records("exception", http__route="/crash")
    assert report.attributes["exception.type"] == "ZeroDivisionError"
    assert not [record for record in app.records("exception") if record.attributes.get("http.route") == "/deleted"]
