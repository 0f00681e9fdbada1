"""WebSockets of flask-sock, on Werkzeug's server in this process."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
import simple_websocket
import websocket
from flask_sock import Sock
from werkzeug.serving import make_server

import otelflask
from otelflask._internal import attribute_names, event_names
from otelflask._internal.request_record import RequestRecord
from otelflask.testing import CapturedTelemetry

Connect = Callable[[str], contextlib.AbstractContextManager[websocket.WebSocket]]


@pytest.fixture
def settings() -> dict[str, Any]:
    return {}


@pytest.fixture
def app(telemetry: CapturedTelemetry, settings: dict[str, Any]) -> flask.Flask:
    app = flask.Flask("chat")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers, **settings)
    sock = Sock(app)

    @sock.route("/echo/<room>")
    def echo(ws: Any, room: str) -> None:
        flask.g.user_id = "ada"
        while True:
            message = ws.receive()
            if message == "boom":
                raise LookupError("no such room")
            if message == "bye":
                ws.close(4000, "see you")
                return
            ws.send(message)

    @sock.route("/greets")
    def greets(ws: Any) -> None:
        flask.g.user_id = "ada"
        ws.send("hello")

    @app.get("/hello")
    def hello() -> str:
        return "hello"

    return app


@pytest.fixture
def connect(app: flask.Flask) -> Iterator[Connect]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    @contextlib.contextmanager
    def connected(path: str) -> Iterator[websocket.WebSocket]:
        client = websocket.create_connection(f"ws://127.0.0.1:{server.server_port}{path}", timeout=60)
        connection = client.sock
        try:
            yield client
        finally:
            connection.close()

    yield connected
    server.shutdown()
    thread.join()
    server.server_close()


def _closed(telemetry: CapturedTelemetry) -> Any:
    def lines() -> list[Any]:
        return [record for record in telemetry.logs if record.event_name == event_names.WEBSOCKET]

    telemetry.wait_for(lines)
    (line,) = lines()
    return line


def _ask(client: websocket.WebSocket, message: str) -> str:
    client.send(message)
    return str(client.recv())


def test_the_handshake_is_a_request_and_the_end_is_a_line(connect: Connect, telemetry: CapturedTelemetry) -> None:
    with connect("/greets") as client:
        assert client.recv() == "hello"
        client.recv()
    line = _closed(telemetry)
    request = telemetry.span("GET /greets")
    assert request.attributes is not None
    assert request.attributes["http.response.status_code"] == 101
    assert request.status.is_ok
    assert line.severity_text == "INFO"
    assert line.body.startswith("WebSocket /greets closed after ")
    assert line.body.endswith(" s, by the server: 1000 normal closure")
    assert line.trace_id == request.context.trace_id
    found = {name: line.attributes[name] for name in line.attributes if name.startswith("otelflask.")}
    assert found.pop(attribute_names.WEBSOCKET_DURATION) >= 0
    assert found == {
        attribute_names.CLOSE_CODE: 1000,
        attribute_names.CLOSE_INITIATOR: "server",
        attribute_names.MESSAGES_RECEIVED: 0,
        attribute_names.MESSAGES_SENT: 1,
    }


@pytest.mark.parametrize(
    ("close", "expected"),
    [
        (lambda client: client.close(1001, b"moved"), (1001, "client", "moved")),
        (lambda client: client.send("bye"), (4000, "server", "see you")),
        (lambda client: None, (1006, "none", None)),
    ],
    ids=["client", "server", "lost"],
)
def test_code_reason_and_initiator_of_the_close_are_recorded(
    connect: Connect, telemetry: CapturedTelemetry, close: Callable[[Any], Any], expected: tuple[Any, ...]
) -> None:
    with connect("/echo/blue") as client:
        assert _ask(client, "one") == "one"
        close(client)
        with contextlib.suppress(websocket.WebSocketException):
            if expected[1] == "server":
                client.recv()
    line = _closed(telemetry)
    names = (attribute_names.CLOSE_CODE, attribute_names.CLOSE_INITIATOR, attribute_names.CLOSE_REASON)
    assert tuple(line.attributes.get(name) for name in names) == expected
    (point,) = telemetry.points("otelflask.websocket.connection.duration")
    code = expected[0] if expected[0] != 4000 else "_OTHER"
    assert point.attributes == {"http.route": "/echo/<room>", attribute_names.CLOSE_CODE: code}
    assert [point.value for point in telemetry.points("otelflask.websocket.connections")] == [0]


def test_an_open_websocket_is_counted_and_is_no_active_request(connect: Connect, telemetry: CapturedTelemetry) -> None:
    with connect("/echo/blue") as client:
        assert _ask(client, "one") == "one"
        (point,) = telemetry.points("otelflask.websocket.connections")
        assert (point.value, point.attributes) == (1, {"http.route": "/echo/<room>"})
        assert [point.value for point in telemetry.points("http.server.active_requests")] == [0]
        assert telemetry.points("http.server.request.duration") == []
    _closed(telemetry)


@pytest.mark.parametrize("handled", [False, True])
def test_an_error_is_reported_once_whether_a_handler_takes_it_or_not(
    app: flask.Flask, connect: Connect, telemetry: CapturedTelemetry, handled: bool
) -> None:
    if handled:
        app.register_error_handler(LookupError, lambda error: ("sorry", 500))
    with connect("/echo/blue") as client:
        client.send("boom")
        line = _closed(telemetry)
    assert (line.severity_text, line.attributes["error.type"]) == ("WARN", "LookupError")
    telemetry.wait_for(lambda: [record for record in telemetry.logs if record.event_name == event_names.EXCEPTION])
    (report,) = [record for record in telemetry.logs if record.event_name == event_names.EXCEPTION]
    assert report.attributes[attribute_names.ERROR_HANDLED] is handled
    assert report.attributes["http.route"] == "/echo/<room>"
    assert report.trace_id == line.trace_id


@pytest.mark.parametrize("settings", [{"websocket_spans": "messages"}])
def test_each_message_has_a_span_if_wanted(connect: Connect, telemetry: CapturedTelemetry) -> None:
    with connect("/echo/blue") as client:
        assert [_ask(client, "one"), _ask(client, "two")] == ["one", "two"]
        client.close()
    _closed(telemetry)
    request = telemetry.span("GET /echo/<room>").context
    processed = {span.context.span_id: span for span in telemetry.spans if span.name == "process /echo/<room>"}
    sent = [span for span in telemetry.spans if span.name == "send /echo/<room>"]
    assert (len(processed), len(sent)) == (2, 2)
    assert {span.parent.span_id for span in processed.values() if span.parent is not None} == {request.span_id}
    assert {span.parent.span_id for span in sent if span.parent is not None} == set(processed)


def _kept() -> int:
    gc.collect()
    return sum(isinstance(item, (simple_websocket.Server, RequestRecord)) for item in gc.get_objects())


def test_nothing_keeps_a_closed_websocket_alive(connect: Connect, telemetry: CapturedTelemetry) -> None:
    before = _kept()
    for _ in range(3):
        with connect("/greets") as client:
            client.recv()
            client.recv()
        _closed(telemetry)
        telemetry.clear()
    # The threads of the server end a little later.
    telemetry.wait_for(lambda: _kept() <= before)


def test_a_handshake_that_fails_stays_a_request(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    assert app.test_client().get("/greets").status_code in (400, 404, 500)
    assert telemetry.points("otelflask.websocket.connections") == []


@pytest.mark.parametrize("settings", [{"excluded_urls": "/greets"}])
def test_an_excluded_websocket_leaves_nothing(connect: Connect, telemetry: CapturedTelemetry) -> None:
    with connect("/greets") as client:
        assert client.recv() == "hello"
        client.recv()
    assert (telemetry.spans, telemetry.points("otelflask.websocket.connections")) == ([], [])


def test_opentelemetrys_variable_turns_it_off(telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "websockets")
    before = simple_websocket.Server.send
    otelflask.init(flask.Flask("shop"), runtime_metrics=False, reports=False, **telemetry.providers)
    assert simple_websocket.Server.send is before
