"""Lines of logging libraries, set up as their documentation says."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import flask
import pytest
import structlog
from loguru import logger as loguru_logger

from otelflask.testing import CapturedTelemetry

#: structlog's "Rendering using structlog-based formatters within logging".
FORMATTER = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]
#: structlog's "Rendering using logging-based formatters".
ARGUMENTS = [structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_args_and_kwargs]


@pytest.fixture
def log(app: flask.Flask, request: pytest.FixtureRequest) -> Iterator[Any]:
    structlog.configure(
        processors=request.param,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    logging.getLogger("shop.stock").setLevel(logging.INFO)
    yield structlog.get_logger("shop.stock")
    structlog.reset_defaults()


@pytest.fixture
def loguru(app: flask.Flask, request: pytest.FixtureRequest) -> Iterator[Any]:
    class PropagateHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logging.getLogger(record.name).handle(record)

    number = loguru_logger.add(PropagateHandler(), format="{message}", colorize=getattr(request, "param", False))
    yield loguru_logger
    loguru_logger.remove(number)


def line_of(telemetry: CapturedTelemetry) -> tuple[Any, dict[str, Any]]:
    """The body and the attributes of the only line, but for its place."""
    (line,) = (record for record in telemetry.logs if not record.event_name)
    return line.body, {name: value for name, value in line.attributes.items() if not name.startswith("code.")}


@pytest.mark.parametrize("log", [FORMATTER, ARGUMENTS], indirect=True, ids=["formatter", "arguments"])
def test_a_line_of_structlog_has_its_text_and_its_fields(log: Any, telemetry: CapturedTelemetry) -> None:
    log.bind(shop=3).info("counted %d of %s", 3, "lamps", price=1.5, tags=["a"])
    assert line_of(telemetry) == ("counted 3 of lamps", {"shop": 3, "price": 1.5, "tags": ["a"]})


@pytest.mark.parametrize("log", [FORMATTER], indirect=True)
def test_a_field_of_structlog_may_have_the_name_of_one_of_logging(log: Any, telemetry: CapturedTelemetry) -> None:
    log.info("saved", filename="a.png", name="lamp", message="of the app", args=1)
    assert line_of(telemetry) == (
        "saved",
        {"filename": "a.png", "name": "lamp", "message": "of the app", "args": 1},
    )


@pytest.mark.parametrize("log", [FORMATTER, ARGUMENTS], indirect=True, ids=["formatter", "arguments"])
@pytest.mark.parametrize("given", ["exception", "true", "error"])
def test_a_line_of_structlog_has_its_exception(log: Any, telemetry: CapturedTelemetry, given: str) -> None:
    try:
        raise LookupError("no lamp")
    except LookupError as error:
        if given == "exception":
            log.exception("not found")
        else:
            log.error("not found", exc_info=True if given == "true" else error)
    body, attributes = line_of(telemetry)
    assert (body, attributes["exception.type"], attributes["exception.message"]) == (
        "not found",
        "LookupError",
        "no lamp",
    )
    assert "raise LookupError" in attributes["exception.stacktrace"]
    assert "exc_info" not in attributes


def test_a_dictionary_in_place_of_the_text_is_read_as_fields(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    # python-json-logger: "logger.info({...})".
    logging.getLogger("shop.stock").warning({"message": "counted", "lamps": 3, 7: "a number as name"})
    assert line_of(telemetry) == ("counted", {"lamps": 3, "7": "a number as name"})


def test_a_plain_dictionary_keeps_the_fields_that_structlog_has_too(
    app: flask.Flask, telemetry: CapturedTelemetry
) -> None:
    fields = {"event": "login", "_name": "n", "_record": 1, "exc_info": "oops"}
    logging.getLogger("shop.stock").warning({"message": "counted", **fields})
    assert line_of(telemetry) == ("counted", fields)


def test_arguments_that_do_not_fit_leave_the_text_as_it_is(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    logging.getLogger("shop.stock").warning("100% done", extra={"positional_args": ("x",)})
    assert line_of(telemetry)[0] == "100% done"


def test_a_dictionary_without_a_text_is_the_body_too(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    logging.getLogger("shop.stock").warning({"lamps": 3})
    assert line_of(telemetry) == ("{'lamps': 3}", {"lamps": 3})


def test_a_dictionary_that_is_an_argument_is_none_of_fields(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    logging.getLogger("shop.stock").warning("%(lamps)d lamps", {"lamps": 3})
    assert line_of(telemetry) == ("3 lamps", {})


def test_extras_with_names_of_structlog_stay_in_plain_lines(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    logging.getLogger("shop.stock").warning("counted", extra={"_name": "lamps", "_record": 3})
    assert line_of(telemetry) == ("counted", {"_name": "lamps", "_record": 3})


def test_a_line_of_loguru_has_its_text_and_its_fields(loguru: Any, telemetry: CapturedTelemetry) -> None:
    loguru.bind(lamps=3, message="of the app", filename="a.png").warning("counted {}", 3)
    assert line_of(telemetry) == ("counted 3", {"lamps": 3, "message": "of the app", "filename": "a.png"})


@pytest.mark.parametrize("loguru", [False, True], indirect=True, ids=["plain", "colours"])
def test_a_line_of_loguru_has_its_exception_and_no_values_of_variables_in_its_text(
    loguru: Any, telemetry: CapturedTelemetry
) -> None:
    secret = "hunter2" * 2
    try:
        raise LookupError("no lamp", len(secret))
    except LookupError:
        loguru.exception("not\nfound")
    body, attributes = line_of(telemetry)
    assert (body, attributes["exception.type"]) == ("not\nfound", "LookupError")
    assert secret not in str(attributes)
