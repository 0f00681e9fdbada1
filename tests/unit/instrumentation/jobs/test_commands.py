"""Commands of click and of ``flask``."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click
import flask
import pytest
from click.testing import CliRunner
from flask.cli import AppGroup, FlaskGroup
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

import otelflask
from otelflask._internal import attribute_names, event_names
from otelflask.testing import CapturedTelemetry


def _app(telemetry: CapturedTelemetry, **settings: Any) -> flask.Flask:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers, **settings)

    @app.cli.command("recount")
    @click.option("--how", default="well")
    def recount(how: str) -> None:
        logging.getLogger("shop").warning("recounting")
        if how == "raises":
            raise LookupError("no such shelf")
        if how == "refuses":
            raise click.ClickException("no such shelf")
        if how == "exits":
            sys.exit(3)
        if how == "leaves":
            click.get_current_context().exit(None)  # type: ignore[arg-type]
        if how == "input ends":
            raise EOFError

    stock = AppGroup("stock")
    stock.command("take")(lambda: None)
    app.cli.add_command(stock)
    return app


def _line(telemetry: CapturedTelemetry) -> Any:
    (line,) = [record for record in telemetry.logs if record.event_name == event_names.JOB]
    return line


def _reports(telemetry: CapturedTelemetry) -> list[Any]:
    return [record for record in telemetry.logs if record.event_name in event_names.REPORTS]


@pytest.mark.parametrize(
    ("how", "status", "error_type", "reports"),
    [
        ("well", 0, None, 0),
        ("leaves", 0, None, 0),
        ("exits", 3, "SystemExit", 0),
        ("input ends", 1, "EOFError", 0),
        ("refuses", 1, "click.exceptions.ClickException", 0),
        ("raises", 1, "LookupError", 1),
    ],
)
def test_a_command_has_a_span_a_line_and_its_exit_status(
    telemetry: CapturedTelemetry, how: str, status: int, error_type: str | None, reports: int
) -> None:
    result = _app(telemetry).test_cli_runner().invoke(args=["recount", "--how", how])
    assert result.exit_code == status
    (span,) = telemetry.spans
    assert span.name.endswith(" recount")
    assert span.attributes is not None
    found = span.attributes
    assert (found["process.exit.code"], found.get("error.type")) == (status, error_type)
    assert (span.status.status_code is StatusCode.ERROR) is bool(status)
    line = _line(telemetry)
    assert line.severity_text == ("ERROR" if status else "INFO")
    assert line.attributes["process.exit.code"] == status
    assert line.attributes[attribute_names.JOB_NAME] == span.name
    own = next(record for record in telemetry.logs if record.body == "recounting")
    assert {line.trace_id, own.trace_id} == {span.context.trace_id}
    assert len(_reports(telemetry)) == reports
    (point,) = telemetry.points("otelflask.job.duration")
    assert (point.count, point.attributes.get("error.type")) == (1, error_type)
    assert [point.value for point in telemetry.points("otelflask.job.active")] == [0]


def test_a_report_of_a_command_is_in_its_trace(telemetry: CapturedTelemetry) -> None:
    _app(telemetry).test_cli_runner().invoke(args=["recount", "--how", "raises"])
    (report,) = _reports(telemetry)
    (span,) = telemetry.spans
    assert (report.trace_id, report.span_id) == (span.context.trace_id, span.context.span_id)
    assert report.attributes[attribute_names.ERROR_HANDLED] is False


def test_arguments_are_not_recorded(telemetry: CapturedTelemetry) -> None:
    _app(telemetry).test_cli_runner().invoke(args=["recount", "--how", "hunter2"])
    assert "hunter2" not in str([span.to_json() for span in telemetry.spans]) + str(_line(telemetry).attributes)


def test_the_command_of_a_group_is_recorded_and_the_group_is_not(telemetry: CapturedTelemetry) -> None:
    _app(telemetry).test_cli_runner().invoke(args=["stock", "take"])
    assert [span.name.split()[-2:] for span in telemetry.spans] == [["stock", "take"]]


def test_a_group_that_works_itself_is_recorded(telemetry: CapturedTelemetry) -> None:
    _app(telemetry)
    group = click.group("sweep", invoke_without_command=True)(lambda: None)
    group.command("floor")(lambda: None)
    CliRunner().invoke(group, [])
    CliRunner().invoke(group, ["floor"])
    assert [span.name for span in telemetry.spans] == ["sweep", "sweep floor"]


def test_requests_that_a_command_serves_are_traces_of_their_own(telemetry: CapturedTelemetry) -> None:
    app = _app(telemetry)
    app.get("/hello")(lambda: "hello")

    @app.cli.command("serve")
    def serve() -> None:
        app.test_client().get("/hello", headers={"traceparent": f"00-{'7' * 32}-{'1' * 16}-01"})

    app.test_cli_runner().invoke(args=["serve"])
    request = telemetry.span("GET /hello")
    assert (request.kind, f"{request.context.trace_id:032x}") == (SpanKind.SERVER, "7" * 32)


def test_an_exception_without_a_text_leaves_nothing_behind(telemetry: CapturedTelemetry) -> None:
    app = _app(telemetry)

    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    @app.cli.command("fails")
    def fails() -> None:
        raise UnspeakableError

    app.test_cli_runner().invoke(args=["fails"])
    assert not trace.get_current_span().get_span_context().is_valid
    assert len(telemetry.spans) == 1
    assert [point.value for point in telemetry.points("otelflask.job.active")] == [0]


def test_a_command_of_click_without_flask_is_recorded(telemetry: CapturedTelemetry) -> None:
    _app(telemetry)
    CliRunner().invoke(click.command("sweep")(lambda: None))
    assert [span.name for span in telemetry.spans] == ["sweep"]


def test_flasks_own_and_excluded_commands_are_not_recorded(telemetry: CapturedTelemetry) -> None:
    app = _app(telemetry, excluded_commands="watch, recount")
    runner = app.test_cli_runner()
    assert runner.invoke(args=["recount"]).exit_code == 0
    assert CliRunner().invoke(FlaskGroup(create_app=lambda: app), ["routes"]).exit_code == 0
    assert telemetry.spans == []


def test_opentelemetrys_variable_turns_it_off(telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "click")
    _app(telemetry).test_cli_runner().invoke(args=["recount"])
    assert telemetry.spans == []
