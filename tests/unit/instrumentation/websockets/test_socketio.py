"""Flask-SocketIO, with its own test client."""

from __future__ import annotations

import logging
from typing import Any

import flask
import pytest
from flask_socketio import ConnectionRefusedError, SocketIO
from opentelemetry.trace import StatusCode

import otelflask
from otelflask._internal import attribute_names, event_names
from otelflask.testing import CapturedTelemetry

EVENT_DURATION = "otelflask.socketio.event.duration"


def _app(telemetry: CapturedTelemetry, first: str = "init", **settings: Any) -> tuple[flask.Flask, SocketIO]:
    app = flask.Flask("chat")
    app.secret_key = "x"
    if first == "init":
        otelflask.init(app, runtime_metrics=False, **telemetry.providers, **settings)
    extension = SocketIO(app, async_mode="threading", async_handlers=False)
    if first != "init":
        otelflask.init(app, runtime_metrics=False, **telemetry.providers, **settings)

    @extension.on("connect")
    def connect(auth: Any) -> None:
        if auth == "wrong":
            raise ConnectionRefusedError("who are you?")

    @extension.on("say")
    def say(text: str) -> str:
        logging.getLogger("chat").warning("heard %s", text)
        if text == "boom":
            raise LookupError("no such room")
        return text

    app.get("/hello")(lambda: "hello")
    return app, extension


@pytest.mark.parametrize("first", ["init", "socketio"])
def test_an_event_is_a_trace_with_its_lines(telemetry: CapturedTelemetry, first: str) -> None:
    app, extension = _app(telemetry, first)
    client = extension.test_client(app)
    assert client.emit("say", "hi", callback=True) == "hi"
    event = telemetry.span("event say")
    assert event.attributes == {attribute_names.EVENT: "say", attribute_names.NAMESPACE: "/"}
    assert event.parent is None
    (line,) = [record for record in telemetry.logs if record.body == "heard hi"]
    assert line.trace_id == event.context.trace_id
    assert app.test_client().get("/hello").text == "hello"
    assert telemetry.span("GET /hello").parent is None
    (point,) = [
        point
        for point in telemetry.points("otelflask.socketio.event.duration")
        if point.attributes[attribute_names.EVENT] == "say"
    ]
    assert point.count == 1


@pytest.mark.parametrize("handled", [False, True])
def test_an_error_of_an_event_is_reported_once(telemetry: CapturedTelemetry, handled: bool) -> None:
    app, extension = _app(telemetry)
    if handled:
        extension.on_error_default(lambda error: "sorry")
    client = extension.test_client(app)
    if handled:
        assert client.emit("say", "boom", callback=True) == "sorry"
    else:
        with pytest.raises(LookupError):
            client.emit("say", "boom")
    event = telemetry.span("event say")
    assert event.status.status_code is StatusCode.ERROR
    (report,) = [record for record in telemetry.logs if record.event_name == event_names.EXCEPTION]
    assert report.attributes[attribute_names.ERROR_HANDLED] is handled
    assert report.trace_id == event.context.trace_id


def test_a_namespace_that_a_client_invents_is_no_label(telemetry: CapturedTelemetry) -> None:
    app, _ = _app(telemetry)
    chat = SocketIO(app, async_mode="threading", async_handlers=False, namespaces="*")
    chat.on("say", namespace="*")(lambda text: None)
    chat.test_client(app, namespace="/invented").emit("say", "hi", namespace="/invented")
    labels = {point.attributes[attribute_names.NAMESPACE] for point in telemetry.points(EVENT_DURATION)}
    assert labels == {"*"}


def test_what_a_client_acknowledges_is_no_event(telemetry: CapturedTelemetry) -> None:
    app, extension = _app(telemetry)
    done: list[str] = []

    @extension.on("ask")
    def ask() -> None:
        extension.emit("said", "hi", callback=done.append, to=flask.request.sid)  # type: ignore[attr-defined]

    client = extension.test_client(app)
    client.emit("ask")
    assert {span.name for span in telemetry.spans} == {"event connect", "event ask"}


def test_a_refused_connection_is_no_error(telemetry: CapturedTelemetry) -> None:
    app, extension = _app(telemetry)
    assert not extension.test_client(app, auth="wrong").is_connected()
    assert telemetry.span("event connect").status.is_ok
    assert not [record for record in telemetry.logs if record.event_name in event_names.REPORTS]


def test_without_spans_events_are_measured_only(telemetry: CapturedTelemetry) -> None:
    app, extension = _app(telemetry, websocket_spans="none")
    extension.test_client(app).emit("say", "hi")
    assert telemetry.spans == []
    assert telemetry.points("otelflask.socketio.event.duration")


@pytest.mark.parametrize("first", ["init", "socketio"])
def test_a_request_of_socketio_is_recorded_with_its_path_as_route(telemetry: CapturedTelemetry, first: str) -> None:
    app, _ = _app(telemetry, first)
    assert app.test_client().get("/socket.io/?EIO=4&transport=polling").status_code == 200
    assert telemetry.span("GET /socket.io/").status.is_ok


def test_an_extension_without_an_app_and_an_app_without_telemetry_work(telemetry: CapturedTelemetry) -> None:
    _app(telemetry)
    SocketIO(async_mode="threading")
    plain = flask.Flask("plain")
    plain.secret_key = "x"
    extension = SocketIO(plain, async_mode="threading")
    assert plain.wsgi_app is extension.sockio_mw
    assert plain.test_client().get("/socket.io/?EIO=4&transport=polling").status_code == 200
