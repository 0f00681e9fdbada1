"""Records of the logging module."""

from __future__ import annotations

import datetime
import logging
from typing import Any

import flask
import pytest
from opentelemetry._logs import SeverityNumber

from otelflask.testing import CapturedTelemetry


@pytest.fixture
def log(app: flask.Flask) -> logging.Logger:
    logger = logging.getLogger("shop.test")
    logger.setLevel(logging.DEBUG)
    return logger


def only(telemetry: CapturedTelemetry) -> Any:
    (record,) = telemetry.logs
    return record


def test_a_record_carries_its_place_severity_and_typed_extras(
    log: logging.Logger, telemetry: CapturedTelemetry
) -> None:
    log.warning(
        "sold %d", 3, extra={"n": 3, "price": 1.5, "ok": True, "tags": ["a"], "when": datetime.date(2024, 1, 2)}
    )
    record = only(telemetry)
    assert (record.body, record.severity_text, record.severity_number) == ("sold 3", "WARN", SeverityNumber.WARN)
    attributes = record.attributes
    assert attributes["code.file.path"].endswith("test_capture.py")
    assert {k: v for k, v in attributes.items() if not k.startswith("code.")} == {
        "n": 3,
        "price": 1.5,
        "ok": True,
        "tags": ["a"],
        "when": "2024-01-02",
    }


def test_an_exception_has_its_qualified_type(log: logging.Logger, telemetry: CapturedTelemetry) -> None:
    try:
        raise flask.cli.NoAppException("none")
    except flask.cli.NoAppException:
        log.exception("failed")
    attributes = only(telemetry).attributes
    assert attributes["exception.type"] == "flask.cli.NoAppException"
    assert attributes["exception.message"] == "none"
    assert "test_capture.py" in attributes["exception.stacktrace"]


def test_a_record_made_by_hand_may_have_no_name(log: logging.Logger, telemetry: CapturedTelemetry) -> None:
    log.handle(logging.makeLogRecord({"msg": "by hand", "levelno": logging.WARNING, "levelname": "WARNING"}))
    assert only(telemetry).body == "by hand"


def test_a_record_within_a_request_has_its_ids(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    @app.get("/log")
    def log() -> str:
        app.logger.error("inside")
        return ""

    app.test_client().get("/log")
    context = telemetry.span("GET /log").get_span_context()
    assert context is not None
    assert {(r.trace_id, r.span_id) for r in telemetry.logs} == {(context.trace_id, context.span_id)}


def test_flasks_console_handler_is_installed_as_without_us(app: flask.Flask) -> None:
    from flask.logging import default_handler, has_level_handler

    root = logging.getLogger()
    saved, root.handlers = root.handlers, []
    try:
        assert not has_level_handler(logging.getLogger("nobody.configured"))
        fresh = flask.Flask("fresh_console")
        assert fresh.logger.handlers == [default_handler]
    finally:
        root.handlers = saved


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("hostile")

    __repr__ = __str__


def test_hostile_values_are_survived(
    log: logging.Logger, telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log.propagate = False
    try:
        log.warning("%s", Hostile(), extra={"object": Hostile(), "\ud800": "\x00"})
        cyclic: list[Any] = []
        cyclic.append(cyclic)
        log.warning("cyclic", extra={"c": cyclic})
    finally:
        log.propagate = True
    first, second = telemetry.logs
    assert "cannot be formatted" in first.body
    assert "unprintable" in first.attributes["object"]
    assert second.body == "cyclic"


def test_logging_from_within_a_log_record_does_not_loop(log: logging.Logger, telemetry: CapturedTelemetry) -> None:
    class Chatty:
        def __str__(self) -> str:
            log.warning("from inside")
            return "chatty"

    log.warning("outer", extra={"o": Chatty()})
    assert [record.body for record in telemetry.logs] == ["outer"]


def test_our_own_diagnostics_are_not_sent(log: logging.Logger, telemetry: CapturedTelemetry) -> None:
    logging.getLogger("otelflask").warning("about sending")
    logging.getLogger("opentelemetry.sdk").warning("about sending")
    assert not telemetry.logs


@pytest.mark.parametrize("name", ["otelflask_shop", "opentelemetry_lamps.views", "otelflask.demo.shop"])
def test_a_logger_of_an_app_with_a_similar_name_is_sent(
    name: str, log: logging.Logger, telemetry: CapturedTelemetry
) -> None:
    logging.getLogger(name).warning("sold out")
    assert only(telemetry).body == "sold out"


def test_levels_of_loggers_count_as_always(log: logging.Logger, telemetry: CapturedTelemetry) -> None:
    log.setLevel(logging.ERROR)
    log.warning("not this")
    log.error("this")
    assert only(telemetry).body == "this"


@pytest.mark.parametrize("name", ["exception", "http.server.request", "otelflask.slow_query"])
def test_a_line_is_not_taken_for_a_record_of_otelflasks_own(
    app: flask.Flask, telemetry: CapturedTelemetry, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    app.logger.warning("not yours", extra={"event.name": name})
    (record,) = telemetry.logs
    assert record.event_name is None
    assert record.attributes["event.name"] == name
    assert f"{name!r} is not a valid event name" in caplog.text
