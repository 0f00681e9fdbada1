"""Actions of scenarios that are more than one request."""

from __future__ import annotations

import os
import re

from websocket import create_connection

from tests.scenarios import data, lines, sockets
from tests.scenarios.client import TOKEN, Answer, World, bearer

#: The requests before the pages are read: one of each kind, so that no order depends on durations.
SEEN = ("/hello", "/lamps/7", "/log/breadcrumbs", "/select", "/repeated", "/slow", "/nowhere", "/payment", "/event")


def nothing(world: World) -> Answer:
    """The telemetry of the start."""
    return {}


def leave_stream(world: World) -> Answer:
    """Close the connection after the first piece."""
    data.client_left.clear()
    answer = world.ask_and_leave("/stream/long", len("first"))
    data.client_left.set()
    return answer


def break_circuit(world: World) -> Answer:
    """Two failures open the circuit, and the third request is rejected."""
    return {f"answer {number}": world.ask("GET", "/payment", {"Accept": "application/json"}) for number in (1, 2, 3)}


def line_outside(world: World) -> Answer:
    """Lines of no request."""
    lines.line_outside()
    return {}


def error_outside(world: World) -> Answer:
    """An error line of no request."""
    lines.error_outside()
    return {}


def event_outside(world: World) -> Answer:
    """An event of no request."""
    lines.event_outside()
    return {}


def uncaught_in_thread(world: World) -> Answer:
    """An error that ends a thread."""
    lines.uncaught_in_thread()
    return {}


def websocket(world: World) -> Answer:
    """A WebSocket with one message, which the client closes."""
    client = create_connection(f"ws://127.0.0.1:{world.ports['shop']}/socket/blue", timeout=30)
    client.send("hi")
    answer = client.recv()
    client.close(1000, b"done")
    return {"answer": answer}


def websocket_fails(world: World) -> Answer:
    """A WebSocket whose function raises."""
    client = create_connection(f"ws://127.0.0.1:{world.ports['shop']}/socket/blue", timeout=30)
    connection = client.sock
    client.send("boom")
    world.settle()
    connection.close()
    return {}


def socketio_event(world: World) -> Answer:
    """An event of Socket.IO."""
    return {"answer": sockets.say("hi")}


def socketio_fails(world: World) -> Answer:
    """An event of Socket.IO whose handler raises."""
    return {"answer": sockets.say("boom")}


def statement_outside(world: World) -> Answer:
    """A statement of no request."""
    data.statement_outside(world.app)
    return {}


def command_fails(world: World) -> Answer:
    """A command that raises."""
    result = world.app.test_cli_runner().invoke(args=["recount", "missing"])
    return {"exit code": result.exit_code}


def command(world: World) -> Answer:
    """A command of the app, run by Flask's runner."""
    result = world.app.test_cli_runner().invoke(args=["recount", "upper"])
    return {"exit code": result.exit_code, "output": result.output}


def fork(world: World) -> Answer:
    """A process that was forked outside of any request."""
    child = os.fork()
    if child == 0:
        data.in_child(world.app)
    return {"exit code": data.ended(child)}


def be_seen(world: World) -> Answer:
    """Requests for the pages."""
    statuses = {}
    for path in SEEN:
        answer = world.ask("GET", path, {"Accept": "application/json"})
        statuses[path] = answer["status"]
        if path == "/repeated":
            (world.notes["trace"],) = (
                value.split("-")[1] for name, value in answer["headers"] if name == "traceresponse"
            )
    return statuses


def live_trace(world: World) -> Answer:
    """The page of the trace with repeated statements."""
    return world.ask("GET", f"/monitoring/traces/{world.notes['trace']}?live=0", bearer(TOKEN))


def live_error(world: World) -> Answer:
    """The page of the first error in the list."""
    listed = world.ask("GET", "/monitoring/errors?text=breadcrumbs", bearer(TOKEN))
    (fingerprint, *_) = re.findall(r"/errors/([0-9a-f]{16})", listed["body"])
    return world.ask("GET", f"/monitoring/errors/{fingerprint}?live=0", bearer(TOKEN))
