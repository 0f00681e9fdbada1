"""A log record as one line that nothing in it can break or forge."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import flask
import pytest

import otelflask
from otelflask.errors import ValidationError
from otelflask.testing import CapturedTelemetry

HOSTILE = "in\r\nERROR forged\x1b[31mred\u2028next\u202eturned\x00\x85"


@pytest.fixture
def lines(
    telemetry: CapturedTelemetry, capsys: pytest.CaptureFixture[str], logger: logging.Logger
) -> Callable[..., list[str]]:
    """The lines that a request to `/x` writes to the console."""

    def written(view: Callable[[], Any], path: str = "/x", headers: Any = None, **settings: Any) -> list[str]:
        app = flask.Flask("shop")
        app.add_url_rule("/x", "x", view)
        otelflask.init(app, runtime_metrics=False, **telemetry.providers, **settings)
        capsys.readouterr()
        app.test_client().get(path, headers=headers or {"X-Request-ID": "r-1"})
        return capsys.readouterr().err.splitlines()

    return written


def _log(logger: logging.Logger) -> str:
    otelflask.set_user("ann")
    logger.info("counted %d lamps", 3, extra={"shelf": "A", "password": "hunter2"})
    return "ok"


def test_a_json_line_has_what_happened_and_whose_it_was(
    lines: Callable[..., list[str]], logger: logging.Logger, telemetry: CapturedTelemetry
) -> None:
    first, request = (json.loads(line) for line in lines(lambda: _log(logger), log_console="json"))
    (span,) = telemetry.spans
    assert first["message"] == "counted 3 lamps"
    assert (first["level"], first["logger"], first["shelf"]) == ("INFO", "shop.stock", "A")
    assert first["password"] == "[redacted]"
    expected = ("r-1", "GET", "/x", "127.0.0.1", "ann", f"{span.context.trace_id:032x}")
    for line in (first, request):
        assert tuple(line[name] for name in ("request_id", "method", "path", "client", "user", "trace_id")) == expected
    assert request["event"] == "http.server.request"
    assert request["http.response.status_code"] == 200


def test_a_text_line_has_the_same(lines: Callable[..., list[str]], logger: logging.Logger) -> None:
    line, request = lines(lambda: _log(logger), log_console="text")
    assert "INFO  shop.stock: counted 3 lamps  [shelf=A password=[redacted] request=GET /x client=127.0.0.1" in line
    assert "user=ann request_id=r-1 trace_id=" in line
    assert "otelflask.http: GET /x 200 " in request


@pytest.mark.parametrize("style", ["text", "json"])
def test_text_of_any_language_is_written_as_people_read_it(
    lines: Callable[..., list[str]], logger: logging.Logger, style: str
) -> None:
    def view() -> str:
        logger.info("用户 %s 登录", "李雷", extra={"城市": "北京"})
        return "ok"

    line, _ = lines(view, log_console=style)
    assert all(text in line for text in ("用户 李雷 登录", "城市", "北京"))
    (request,) = lines(view, path="/商品", log_console=style)
    assert "GET /商品 404" in request


@pytest.mark.parametrize("style", ["text", "json"])
def test_user_text_cannot_end_or_forge_a_line(
    lines: Callable[..., list[str]], logger: logging.Logger, style: str
) -> None:
    def view() -> str:
        logger.info("searched for %s", HOSTILE, extra={"also": HOSTILE, "\nkey": "x"})
        return "ok"

    written = lines(view, path="/x?q=1", headers={"User-Agent": "a\x0bb", "X-Request-ID": "r\u2028"}, log_console=style)
    assert len(written) == 2
    assert all(character.isprintable() for line in written for character in line)
    if style == "json":
        assert json.loads(written[0])["message"] == f"searched for {HOSTILE}"


def test_a_stack_is_marked_so_that_its_message_cannot_forge_a_line(
    lines: Callable[..., list[str]], logger: logging.Logger
) -> None:
    def view() -> str:
        try:
            raise ValueError("bad\n2026-01-01 INFO shop: forged")
        except ValueError:
            logger.exception("cannot count")
        return "ok"

    first, *stack, _ = lines(view, log_console="text")
    assert ": cannot count" in first
    assert stack
    assert all(line.startswith("    | ") for line in stack)
    assert "    | 2026-01-01 INFO shop: forged" in stack


def test_an_error_is_one_line_and_flask_writes_none_of_its_own(lines: Callable[..., list[str]]) -> None:
    def view() -> str:
        raise LookupError("no lamps")

    written = [json.loads(line) for line in lines(view, log_console="json")]
    assert len(written) == 2
    assert written[0]["message"] == "Exception on /x [GET]"
    assert "LookupError: no lamps" in written[0]["exception.stacktrace"]


@pytest.mark.parametrize(
    ("settings", "debug", "is_json"),
    [({}, False, True), ({}, True, False), ({"environment": "development"}, False, False)],
    ids=["production", "debug", "development"],
)
def test_auto_is_for_people_in_development_and_for_programs_elsewhere(
    telemetry: CapturedTelemetry,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, str],
    debug: bool,
    is_json: bool,
) -> None:
    app = flask.Flask("shop")
    app.debug = debug
    otelflask.init(app, runtime_metrics=False, log_console="auto", **telemetry.providers, **settings)
    app.test_client().get("/nowhere")
    start, line = capsys.readouterr().err.splitlines()
    assert "test started" in start
    assert start.startswith("{") == line.startswith("{") == is_json


def test_it_is_off_where_nobody_asks_for_it(lines: Callable[..., list[str]], logger: logging.Logger) -> None:
    assert lines(lambda: _log(logger)) == []


def test_two_apps_of_a_process_write_each_line_once(
    telemetry: CapturedTelemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        otelflask.init(flask.Flask(name), runtime_metrics=False, log_console="text", logs=False, **telemetry.providers)
    capsys.readouterr()
    telemetry.logger_provider.get_logger("job").emit(body="once")
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("style", ["text", "json"])
def test_the_line_of_a_request_says_why_a_client_got_an_error(lines: Callable[..., list[str]], style: str) -> None:
    def view() -> str:
        raise ValidationError("名称不能为空", "name")

    (line,) = lines(view, log_console=style)
    assert re.search(r"GET /x 422 [\d.]+ ms: 名称不能为空", line)
    assert line.count("名称不能为空") == (2 if style == "json" else 1)
