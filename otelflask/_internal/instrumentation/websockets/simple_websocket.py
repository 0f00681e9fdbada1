"""simple-websocket: the WebSockets of flask-sock, and of Flask-SocketIO with threads or gevent."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from simple_websocket import Server

from otelflask._internal import clock
from otelflask._internal.instrumentation.websockets.connections import Closed, Connection, Connections

#: How this side has closed a WebSocket.
_closed_here: WeakKeyDictionary[Server, Closed] = WeakKeyDictionary()
_connections: WeakKeyDictionary[Server, Connection] = WeakKeyDictionary()


def observe(connections: Connections) -> Callable[[], None]:
    """Observe each `simple_websocket.Server`.

    Args:
        connections: Notified.

    Returns:
        A function that undoes it.
    """
    originals = {name: getattr(Server, name) for name in ("__init__", "close", "receive", "send")}
    opens, closes, receives, sends = originals.values()

    @functools.wraps(opens)
    def init(self: Server, environ: dict[str, Any], *arguments: Any, **options: Any) -> None:
        opens(self, environ, *arguments, **options)
        connection = connections.opened(environ, functools.partial(_how_closed, self))
        if connection is not None:
            _connections[self] = connection

    @functools.wraps(closes)
    def close(self: Server, reason: int | None = None, message: str | None = None) -> None:
        if self.connected:
            _closed_here[self] = Closed(int(reason or 1000), message or "", "server")
        closes(self, reason, message)

    @functools.wraps(receives)
    def receive(self: Server, *arguments: Any, **options: Any) -> Any:
        connection = _connections.get(self)
        if connection is None:
            return receives(self, *arguments, **options)
        connection.waits()
        message = receives(self, *arguments, **options)
        if message is not None:
            connection.has_received()
        return message

    @functools.wraps(sends)
    def send(self: Server, data: Any) -> None:
        started_at = clock.time_ns()
        sends(self, data)
        connection = _connections.get(self)
        if connection is not None:
            connection.has_sent(started_at)

    ours: dict[str, Any] = {"__init__": init, "close": close, "receive": receive, "send": send}
    for name, function in ours.items():
        setattr(Server, name, function)

    def undo() -> None:
        for name, function in originals.items():
            if getattr(Server, name) is ours[name]:
                setattr(Server, name, function)

    return undo


def _how_closed(server: Server) -> Closed:
    here = _closed_here.get(server)
    if here is not None:
        return here
    if server.ws.state.name == "CLOSED":
        # Both sides have sent a close frame, and the client was first.
        return Closed(int(server.close_reason), str(server.close_message or ""), "client")
    return Closed()
