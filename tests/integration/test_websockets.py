"""WebSockets on real servers, with real clients: flask-sock and Flask-SocketIO."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import socketio
import websocket

from otelflask._internal import attribute_names, event_names
from otelflask.testing import FakeCollector

from .conftest import Serve, Server

pytestmark = pytest.mark.slow

SOCK = """
from flask import Flask
from flask_sock import Sock
import otelflask

app = Flask("chat")
otelflask.init(app)
sock = Sock(app)

@app.get("/hello")
def hello():
    return "hello"

@sock.route("/chat/<room>")
def chat(ws, room):
    app.logger.warning("joined %s", room)
    while True:
        message = ws.receive()
        if message == "boom":
            raise LookupError("no such room")
        if message == "bye":
            ws.close(1001, "see you")
            return
        ws.send(message)
"""
SERVERS = {
    "flask": ["flask", "--app", "chat", "run", "--port", "{port}"],
    "gunicorn threads": ["gunicorn", "--threads", "8", "--bind", "127.0.0.1:{port}", "chat:app"],
    "gunicorn gevent": ["gunicorn", "-k", "gevent", "--bind", "127.0.0.1:{port}", "chat:app"],
}


def _wait(condition: Callable[[], Any], collector: FakeCollector) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, [item.name for item in collector.logs]
        time.sleep(0.05)


def _lines(collector: FakeCollector, name: str) -> list[Any]:
    return [line for line in collector.logs if line.message.event_name == name]


@contextlib.contextmanager
def _chat(server: Server, *messages: str) -> Iterator[websocket.WebSocket]:
    client = websocket.create_connection(f"{server.url.replace('http', 'ws')}/chat/blue?key=value", timeout=60)
    connection = client.sock
    try:
        for message in messages:
            client.send(message)
        yield client
    finally:
        # The library leaves it open where the server was first to close.
        connection.close()


@pytest.mark.parametrize("name", SERVERS)
def test_a_websocket_is_a_request_with_status_101_and_a_line_when_it_is_closed(
    serve: Serve, app_dir: Path, name: str
) -> None:
    (app_dir / "chat.py").write_text(SOCK)
    with FakeCollector() as collector:
        server = serve(SERVERS[name], collector)
        with _chat(server, "one", "two") as client:
            assert [client.recv(), client.recv()] == ["one", "two"]
            client.close(1000, b"done")
        with _chat(server, "bye") as client:
            client.recv()
        with _chat(server, "three") as lost:
            lost.recv()
        assert server.get("/hello") == (200, "hello")
        _wait(lambda: len(_lines(collector, event_names.WEBSOCKET)) == 3, collector)
        server.stop()
        requests = [span for span in collector.spans if span.name == "GET /chat/<room>"]
        assert [span.attributes["http.response.status_code"] for span in requests] == [101, 101, 101]
        closed = {
            (line.attributes[attribute_names.CLOSE_CODE], line.attributes[attribute_names.CLOSE_INITIATOR]): line
            for line in _lines(collector, event_names.WEBSOCKET)
        }
        assert set(closed) == {(1000, "client"), (1001, "server"), (1006, "none")}
        first = closed[1000, "client"]
        assert first.attributes["http.route"] == "/chat/<room>"
        assert first.attributes[attribute_names.CLOSE_REASON] == "done"
        assert first.attributes[attribute_names.MESSAGES_RECEIVED] == 2
        assert first.attributes[attribute_names.MESSAGES_SENT] == 2
        assert {line.message.trace_id for line in closed.values()} == {span.message.trace_id for span in requests}
        joined = [line for line in collector.logs if line.name.startswith("joined")]
        assert {line.message.trace_id for line in joined} == {span.message.trace_id for span in requests}
        # No error, and no duration.
        assert not [line for line in collector.logs if line.message.event_name in event_names.REPORTS]
        assert not [line for line in collector.logs if line.message.severity_text == "ERROR"]
        durations = collector.points("http.server.request.duration")
        assert {attributes["http.route"] for _, attributes, _ in durations} == {"/hello"}
        assert [point.as_int for _, _, point in collector.points("otelflask.websocket.connections")] == [0]


@pytest.mark.parametrize("handled", [False, True], ids=["no handler", "an error handler"])
@pytest.mark.parametrize("name", SERVERS)
def test_an_error_in_a_websockets_function_is_reported_once(
    serve: Serve, app_dir: Path, name: str, handled: bool
) -> None:
    handler = "\n@app.errorhandler(Exception)\ndef answer(error):\n    return 'sorry', 500\n" if handled else ""
    (app_dir / "chat.py").write_text(SOCK + handler)
    with FakeCollector() as collector:
        server = serve(SERVERS[name], collector)
        with _chat(server, "one", "boom") as client:
            assert client.recv() == "one"
            _wait(lambda: _lines(collector, event_names.WEBSOCKET), collector)
        server.stop()
        # gunicorn reports errors of its own, because flask-sock leaves it with a socket that is in use.
        (report,) = [
            line
            for line in collector.logs
            if line.message.event_name in event_names.REPORTS and line.attributes["exception.type"] == "LookupError"
        ]
        assert report.attributes["http.route"] == "/chat/<room>"
        assert report.attributes[attribute_names.ERROR_HANDLED] is handled
        (line,) = _lines(collector, event_names.WEBSOCKET)
        assert line.attributes["error.type"] == "LookupError"
        assert report.message.trace_id == line.message.trace_id


def test_spans_of_messages_are_a_setting(serve: Serve, app_dir: Path) -> None:
    (app_dir / "chat.py").write_text(SOCK)
    with FakeCollector() as collector:
        server = serve(SERVERS["gunicorn threads"], collector, OTELFLASK_WEBSOCKET_SPANS="messages")
        with _chat(server, "one", "two") as client:
            assert [client.recv(), client.recv()] == ["one", "two"]
            client.close()
        _wait(lambda: _lines(collector, event_names.WEBSOCKET), collector)
        server.stop()
        names = sorted(span.name for span in collector.spans)
        assert names == ["GET /chat/<room>", *["process /chat/<room>"] * 2, *["send /chat/<room>"] * 2]
        by_id = {span.message.span_id: span for span in collector.spans}
        for span in collector.spans:
            if span.name.startswith("send"):
                assert by_id[span.message.parent_span_id].name == "process /chat/<room>"


SOCKETIO = """
import logging
from flask import Flask
from flask_socketio import SocketIO, ConnectionRefusedError, emit
import otelflask

app = Flask("chat")
__BEFORE__
socketio = SocketIO(app, async_mode="__MODE__")
__AFTER__

@app.get("/hello")
def hello():
    return "hello"

@socketio.on("connect")
def connect(auth):
    if auth == "wrong":
        raise ConnectionRefusedError("who are you?")

@socketio.on("say")
def say(text):
    app.logger.warning("heard %s", text)
    if text == "boom":
        raise LookupError("no such room")
    emit("said", text)
    return "ok"
"""
INIT = "otelflask.init(app)"


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("mode", ["threading", "gevent"])
def test_socketio_is_recorded_whichever_was_set_up_first(
    serve: Serve, app_dir: Path, mode: str, transport: str, order: str
) -> None:
    source = SOCKETIO.replace("__MODE__", mode)
    source = source.replace("__BEFORE__", INIT if order == "before" else "")
    (app_dir / "chat.py").write_text(source.replace("__AFTER__", INIT if order == "after" else ""))
    with FakeCollector() as collector:
        server = serve(SERVERS["gunicorn gevent" if mode == "gevent" else "gunicorn threads"], collector)
        client = socketio.Client(reconnection=False)
        client.connect(server.url, transports=[transport])
        assert client.call("say", "hi", timeout=60) == "ok"
        client.emit("say", "boom")
        _wait(lambda: [line for line in collector.logs if line.message.event_name in event_names.REPORTS], collector)
        assert server.get("/hello") == (200, "hello")
        client.disconnect()
        refused = socketio.Client(reconnection=False)
        with pytest.raises(socketio.exceptions.ConnectionError):
            refused.connect(server.url, transports=[transport], auth="wrong")
        if transport == "websocket":
            _wait(lambda: len(_lines(collector, event_names.WEBSOCKET)) == 2, collector)
        server.stop()
        names = {span.name for span in collector.spans}
        assert {"GET /socket.io/", "GET /hello", "event connect", "event say"} <= names, names
        (report,) = [
            line
            for line in collector.logs
            if line.message.event_name in event_names.REPORTS and line.attributes.get("exception.type") == "LookupError"
        ]
        assert report.attributes["http.route"] == "/socket.io/"
        events = {span.message.trace_id: span for span in collector.spans if span.name == "event say"}
        assert report.message.trace_id in events
        requests = {span.message.trace_id for span in collector.spans if span.name.endswith(" /socket.io/")}
        for line in collector.logs:
            if line.name.startswith("heard"):
                (link,) = events[line.message.trace_id].message.links
                assert link.trace_id in requests
        statuses = {
            span.attributes["http.response.status_code"] for span in collector.spans if span.name == "GET /socket.io/"
        }
        # A poll whose session the client has closed meanwhile is refused.
        assert statuses - {400} == ({101} if transport == "websocket" else {200}), statuses
        measured = collector.points("otelflask.socketio.event.duration")
        assert {(attributes[attribute_names.EVENT], attributes.get("error.type")) for _, attributes, _ in measured} == {
            ("connect", None),
            ("say", None),
            ("say", "LookupError"),
        }
