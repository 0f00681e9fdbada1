"""What is reported, and what a report contains."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import flask
import pytest
import sentry_sdk
import sqlalchemy as sa
from sqlalchemy.orm import Session, registry

from otelflask import errors
from otelflask._internal.export.otlp_encoder import Encoder
from otelflask._internal.limits import Limits
from otelflask._internal.redaction import Scrubber, scrubbed_attributes
from otelflask.testing import CapturedTelemetry
from tests.unit.conftest import Make
from tests.unit.error_reports.conftest import reports


def _boom(password: str = "hunter2") -> None:
    basket = {"lamp": 3, "card": {"db_password": "hunter2"}}
    raise LookupError(f"no {len(basket)} lamps")


def test_an_unhandled_exception_is_reported_with_everything(
    run: Callable[..., list[Any]], telemetry: CapturedTelemetry
) -> None:
    (report,) = run(_boom)
    (span,) = telemetry.spans
    assert (report.event_name, report.severity_text, report.body) == ("exception", "ERROR", "LookupError: no 2 lamps")
    assert (report.trace_id, report.span_id) == (span.context.trace_id, span.context.span_id)
    attributes = report.attributes
    assert attributes["exception.type"] == "LookupError"
    assert attributes["exception.message"] == "no 2 lamps"
    assert "_boom" in attributes["exception.stacktrace"]
    assert attributes["otelflask.error.handled"] is False
    assert len(attributes["otelflask.error.fingerprint"]) == 16
    assert (attributes["http.route"], attributes["http.response.status_code"]) == ("/x", 500)
    (*_, frame) = json.loads(attributes["otelflask.error.frames"])
    assert frame["function"] == "_boom"
    assert "raise LookupError" in frame["source"]
    assert "lamp" in frame["variables"]["basket"]


def test_secrets_in_local_variables_are_masked(run: Callable[..., list[Any]]) -> None:
    (report,) = run(_boom)
    frames = report.attributes["otelflask.error.frames"]
    assert "password" in frames
    # Nor in the lines of source around them.
    assert "hunter2" not in frames


def test_code_that_sqlalchemy_makes_at_run_time_is_not_the_apps(run: Callable[..., list[Any]]) -> None:
    engine = sa.create_engine("sqlite://")
    table = sa.Table("named_lamps", sa.MetaData(), sa.Column("name", sa.String, primary_key=True))
    table.metadata.create_all(engine)

    class Lamp:
        name: str

    registry().map_imperatively(Lamp, table)

    def add_twice() -> None:
        with Session(engine) as session:
            for _ in range(2):
                lamp = Lamp()
                lamp.name = "reading"
                session.add(lamp)
            session.flush()

    (report,) = run(add_twice)
    (frame,) = json.loads(report.attributes["otelflask.error.frames"])
    assert frame["function"] == "add_twice"


def _sign_in() -> None:
    password = "hunter2"  # not password: hunter3
    token = str(len(password))
    raise LookupError(token)


def test_lines_near_a_secret_are_whole_but_for_it_wherever_they_go(run: Callable[..., list[Any]]) -> None:
    (report,) = run(_sign_in)
    sent = scrubbed_attributes(report.attributes, Scrubber(), Limits())
    encoded = Encoder(Scrubber(), Limits())._value("otelflask.error.frames", sent["otelflask.error.frames"], 8_192)
    assert sent["otelflask.error.frames"].encode() in encoded
    (*_, frame) = json.loads(sent["otelflask.error.frames"])
    password, token = frame["before"][-2:]
    assert password.strip().startswith('password = "[redacted]"  # not password: [redacted]')
    assert token.strip() == "token = str(len(password))"
    assert frame["source"].strip() == "raise LookupError(token)"


@pytest.mark.parametrize(
    "answer",
    [
        lambda: flask.abort(503),
        lambda: (_ for _ in ()).throw(errors.ServiceUnavailableError("later")),
    ],
    ids=["abort", "our own"],
)
def test_a_handled_exception_whose_answer_is_a_5xx_is_reported_as_handled(
    run: Callable[..., list[Any]], answer: Callable[[], Any]
) -> None:
    (report,) = run(answer)
    assert report.attributes["otelflask.error.handled"] is True
    assert report.attributes["http.response.status_code"] == 503


def test_a_handler_of_the_users_that_answers_500_is_reported(make: Make, telemetry: CapturedTelemetry) -> None:
    app = make(KeyError("lamp"))
    app.register_error_handler(KeyError, lambda error: ("sorry", 500))
    app.test_client().get("/x")
    (report,) = reports(telemetry)
    assert (report.attributes["exception.type"], report.attributes["otelflask.error.handled"]) == ("KeyError", True)


@pytest.mark.parametrize("expected", [lambda: flask.abort(404), lambda: _raise(errors.ConflictError())])
def test_an_expected_error_is_not_reported(run: Callable[..., list[Any]], expected: Callable[[], Any]) -> None:
    assert run(expected) == []


def _raise(error: BaseException) -> None:
    raise error


def test_a_log_record_at_error_is_reported_and_below_it_is_not(run: Callable[..., list[Any]]) -> None:
    def view() -> str:
        logging.getLogger("shop").warning("not this")
        logging.getLogger("shop").error("stock of %s is %d", "lamp", -1)
        return "ok"

    (report,) = run(view)
    assert (report.event_name, report.body) == ("otelflask.message", "stock of lamp is -1")
    assert "exception.type" not in report.attributes


def test_errors_that_a_library_logs_as_dictionaries_are_grouped_by_their_text(run: Callable[..., list[Any]]) -> None:
    def view() -> str:
        for order in range(2):
            # As structlog's ProcessorFormatter.
            logging.getLogger("shop").error({"event": "payment failed", "order": order})
        return "ok"

    (report,) = run(view)
    assert report.body == "payment failed"


def test_the_level_is_a_setting(run: Callable[..., list[Any]]) -> None:
    def view() -> str:
        logging.getLogger("shop").error("not this")
        logging.getLogger("shop").critical("this")
        return "ok"

    (report,) = run(view, report_level="critical")
    assert (report.body, report.severity_text) == ("this", "FATAL")


def test_what_the_app_says_to_sentry_sdk_is_on_the_report_and_only_on_its_requests(
    make: Make, telemetry: CapturedTelemetry
) -> None:
    app = make(lambda: None)

    def first() -> None:
        sentry_sdk.set_tag("tenant", "lamps")
        sentry_sdk.set_user({"id": 7, "email": "a@shop.example"})
        sentry_sdk.add_breadcrumb(message="counted the lamps", category="stock")
        raise RuntimeError("first")

    app.view_functions["x"] = first
    app.view_functions["api_x"] = lambda: _raise(RuntimeError("second"))
    app.test_client().get("/x")
    app.test_client().get("/api/x")
    one, other = (report.attributes for report in reports(telemetry))
    assert (one["otelflask.tag.tenant"], one["user.id"], one["user.email"]) == ("lamps", "7", "a@shop.example")
    assert "counted the lamps" in one["otelflask.error.breadcrumbs"]
    assert "otelflask.tag.tenant" not in other
    assert "user.id" not in other
    assert "counted the lamps" not in other.get("otelflask.error.breadcrumbs", "")


def test_log_lines_are_breadcrumbs(run: Callable[..., list[Any]]) -> None:
    def view() -> None:
        logging.getLogger("shop.stock").setLevel(logging.INFO)
        logging.getLogger("shop.stock").info("three lamps left")
        _boom()

    (report,) = run(view)
    assert "three lamps left" in report.attributes["otelflask.error.breadcrumbs"]


def test_captured_messages_and_exceptions_are_reports(run: Callable[..., list[Any]]) -> None:
    def view() -> str:
        sentry_sdk.capture_message("look at this", level="warning")
        try:
            _boom()
        except LookupError:
            sentry_sdk.capture_exception()
        return "ok"

    found = {report.event_name: report for report in run(view)}
    assert (found["otelflask.message"].body, found["otelflask.message"].severity_text) == ("look at this", "WARN")
    assert found["exception"].attributes["otelflask.error.handled"] is True


def test_outside_of_a_request_a_report_leaves_at_once(make: Make, telemetry: CapturedTelemetry) -> None:
    make(lambda: None)
    logging.getLogger("job").error("the job failed")
    (report,) = reports(telemetry)
    assert (report.body, report.trace_id) == ("the job failed", 0)


def test_an_explicit_fingerprint_groups_as_it_says(run: Callable[..., list[Any]]) -> None:
    def view() -> str:
        with sentry_sdk.new_scope() as scope:
            scope.fingerprint = ["lamps"]
            sentry_sdk.capture_message("one")
            sentry_sdk.capture_message("other")
        return "ok"

    one, other = (report.attributes["otelflask.error.fingerprint"] for report in run(view))
    assert one == other


def test_a_function_of_the_users_groups(make: Make, telemetry: CapturedTelemetry) -> None:
    app = make(lambda: None, error_fingerprint=lambda error: ["all", type(error).__name__])
    app.view_functions["x"] = lambda: _raise(KeyError("here"))
    app.view_functions["api_x"] = lambda: {}["there"]
    app.test_client().get("/x")
    app.test_client().get("/api/x")
    one, other = (report.attributes["otelflask.error.fingerprint"] for report in reports(telemetry))
    assert one == other


def test_beyond_the_groups_limit_reports_are_counted(
    run: Callable[..., list[Any]], telemetry: CapturedTelemetry
) -> None:
    assert len(run(_boom, times=8, reports_per_minute=3)) == 3
    counted = {
        point.attributes["otelflask.error.reported"]: point.value for point in telemetry.points("otelflask.errors")
    }
    assert counted == {True: 3, False: 5}


def test_all_occurrences_of_a_group_are_in_the_counts_of_its_records(make: Make, telemetry: CapturedTelemetry) -> None:
    app = make(lambda: None, reports_per_minute=3)
    app.view_functions["x"] = _boom
    for _ in range(8):
        app.test_client().get("/x")
    (report, *_) = reports(telemetry)
    app.extensions["otelflask"].telemetry.flush()
    said = [record for record in telemetry.logs if record.event_name == "otelflask.error_group"]
    assert [record.attributes["otelflask.error.count"] for record in said] == [1, 7]
    for name in ("otelflask.error.fingerprint", "otelflask.error.group", "exception.type", "http.route"):
        assert {record.attributes[name] for record in said} == {report.attributes[name]}
    assert (said[0].trace_id, said[0].span_id) == (report.trace_id, report.span_id)


def test_metrics_have_type_route_and_handled_and_no_fingerprint(
    run: Callable[..., list[Any]], telemetry: CapturedTelemetry
) -> None:
    run(_boom)
    (point,) = telemetry.points("otelflask.errors")
    assert dict(point.attributes) == {
        "error.type": "LookupError",
        "http.route": "/x",
        "otelflask.error.handled": False,
        "otelflask.error.reported": True,
    }


def _deep(depth: int) -> None:
    if depth:
        _deep(depth - 1)
    raise RecursionError("deep")


def _wide() -> None:
    group = [ValueError("x" * 1_000) for _ in range(1_000)]
    raise RuntimeError("many") from BaseExceptionGroup("wide", group)  # noqa: F821


@pytest.mark.parametrize(
    "view",
    [lambda: _raise(RuntimeError("m" * 1_000_000)), lambda: _deep(900), _wide],
    ids=["a message of a megabyte", "a deep recursion", "a wide group"],
)
def test_a_report_is_bounded(run: Callable[..., list[Any]], view: Callable[[], Any]) -> None:
    if view is _wide and sys.version_info < (3, 11):
        pytest.skip("exception groups are there from Python 3.11 on")
    (report,) = run(view)
    assert sum(len(name) + len(str(value)) for name, value in report.attributes.items()) + len(report.body) < 32_768


def test_an_exception_whose_members_are_no_exceptions_is_reported(run: Callable[..., list[Any]]) -> None:
    class SeveralError(Exception):
        exceptions = ("not this", "nor that")

    (report,) = run(lambda: _raise(SeveralError("both")))
    assert "SeveralError: both" in report.attributes["exception.stacktrace"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups are there from Python 3.11 on")
def test_a_groups_members_are_in_the_report_up_to_a_number(run: Callable[..., list[Any]]) -> None:
    (report,) = run(lambda: _raise(ExceptionGroup("many", [ValueError(f"member {n}") for n in range(1, 1_001)])))  # noqa: F821
    trace = report.attributes["exception.stacktrace"]
    assert "ExceptionGroup: many (1000 sub-exceptions)" in trace
    assert "ValueError: member 1\n" in trace
    assert "950 members left out" in trace


def test_libraries_frames_have_no_local_variables(run: Callable[..., list[Any]]) -> None:
    (report,) = run(lambda: json.loads("{"))
    frames = json.loads(report.attributes["otelflask.error.frames"])
    assert {frame["function"] for frame in frames} == {"<lambda>"}


def test_an_error_is_within_its_request_on_report_and_span(make: Make, telemetry: CapturedTelemetry) -> None:
    app = make(_boom)
    app.register_error_handler(LookupError, lambda error: ("sorry", 500))

    @app.get("/handled")
    def handled() -> str:
        raise LookupError("lamp")

    @app.get("/logged")
    def logged() -> str:
        app.logger.error("lost")
        return "sorry"

    for path in ("/x", "/handled", "/logged"):
        telemetry.clear()
        app.test_client().get(path)
        (span,) = telemetry.spans
        (report,) = reports(telemetry)
        assert span.start_time is not None
        assert span.end_time is not None
        for at in (report.timestamp, *(event.timestamp for event in span.events)):
            assert span.start_time <= at <= span.end_time, path


def test_reports_of_many_threads_are_all_there(make: Make, telemetry: CapturedTelemetry) -> None:
    app = make(lambda: None, reports_per_minute=1_000)
    app.view_functions["x"] = _boom
    threads = [threading.Thread(target=lambda: app.test_client().get("/x")) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports(telemetry)) == 20


def test_they_can_be_turned_off(run: Callable[..., list[Any]]) -> None:
    assert run(_boom, reports=False) == []
