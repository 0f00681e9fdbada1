"""A request that ends otherwise than by the answer of its view: a late failure, a signal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from opentelemetry.trace import StatusCode
from werkzeug.test import EnvironBuilder

import otelflask
from otelflask._internal.instrumentation.http import ended_request, signals
from otelflask._internal.request_record import RequestRecord
from otelflask.testing import CapturedTelemetry


@pytest.mark.parametrize("how", ["empty piece", "write"])
def test_what_fails_after_the_first_piece_keeps_its_status(telemetry: CapturedTelemetry, how: str) -> None:
    app = flask.Flask("fails")

    def inner(environ: Any, start_response: Any) -> Iterator[bytes]:
        write = start_response("200 OK", [])
        if how == "write":
            write(b"")
            raise OSError("disk")

        def pieces() -> Iterator[bytes]:
            yield b""
            raise OSError("disk")

        return pieces()

    app.wsgi_app = inner  # type: ignore[assignment, method-assign]
    otelflask.init(app, **telemetry.providers)
    environ = {**EnvironBuilder(path="/fails").get_environ(), "SERVER_SOFTWARE": "a server"}

    def serve() -> None:
        body: Any = app(environ, lambda *arguments: lambda data: None)  # type: ignore[arg-type, return-value]
        with contextlib.closing(body):
            list(body)

    with pytest.raises(OSError, match="disk"):
        serve()
    span = telemetry.span("GET")
    assert span.attributes is not None
    assert (span.attributes["http.response.status_code"], span.attributes["error.type"]) == (200, "OSError")


@pytest.mark.parametrize("how", ["teardown", "generator"])
def test_what_fails_before_the_first_piece_is_recorded_as_the_servers_answer(
    telemetry: CapturedTelemetry, how: str
) -> None:
    app = flask.Flask("fails")

    @app.get("/fails")
    def fails() -> Any:
        def pieces() -> Iterator[bytes]:
            raise OSError("disk")
            yield b"never"

        return flask.Response(pieces()) if how == "generator" else "made"

    if how == "teardown":

        @app.teardown_request
        def tear_down(error: BaseException | None) -> None:
            raise OSError("disk")

    otelflask.init(app, **telemetry.providers)
    announced: list[str] = []
    environ = EnvironBuilder(path="/fails").get_environ()

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        announced.append(status)

    def serve() -> None:
        body: Any = app({**environ, "SERVER_SOFTWARE": "a server"}, start_response)  # type: ignore[arg-type]
        with contextlib.closing(body):
            list(body)

    with pytest.raises(OSError, match="disk"):
        serve()
    assert announced == ["200 OK"]
    span = telemetry.span("GET /fails")
    assert span.attributes is not None
    assert (span.attributes["http.response.status_code"], span.attributes["error.type"]) == (500, "OSError")
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]
    (log,) = [record for record in telemetry.logs if record.event_name == "http.server.request"]
    assert str(log.body).startswith("GET /fails 500")
    (report,) = [record for record in telemetry.logs if record.event_name == "exception"]
    assert report.attributes["exception.type"] == "OSError"  # type: ignore[index]


def test_a_request_that_a_signal_interrupts_at_its_end_is_recorded_once(
    app: flask.Flask, telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted: list[RequestRecord] = []

    def flat_request(record: RequestRecord) -> Any:
        if not interrupted:
            interrupted.append(record)
            # gunicorn's handler of Ctrl+C does this.
            raise SystemExit(0)
        return ended_request.flat_request(record)

    monkeypatch.setattr(signals, "flat_request", flat_request)
    with pytest.raises(SystemExit):
        app.test_client().get("/items/7")
    assert telemetry.span("GET /items/<int:item>").end_time
    (log,) = [record for record in telemetry.logs if record.event_name == "http.server.request"]
    assert str(log.body).startswith("GET /items/7 200")
