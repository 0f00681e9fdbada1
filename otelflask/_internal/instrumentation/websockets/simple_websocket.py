"""simple-websocket: the WebSockets of flask-sock, and of Flask-SocketIO with threads or gevent."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from simple_websocket import Server

from otelflask._internal import clock
from otelflask._internal.instrumentation.websockets.connections import Closed, Connection, Connections
from otelflask._internal.patches import all_of, replace

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
    undo = (
        replace(Server, "__init__", _opening(connections, Server.__init__)),
        replace(Server, "close", _closing(Server.close)),
        replace(Server, "receive", _receiving(Server.receive)),
        replace(Server, "send", _sending(Server.send)),
    )
    return all_of(undo)


def _opening(connections: Connections, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def init(self: Server, environ: dict[str, Any], *arguments: Any, **options: Any) -> None:
        original(self, environ, *arguments, **options)
        connection = connections.opened(environ, functools.partial(_how_closed, self))
        if connection is not None:
            _connections[self] = connection

    return init


def _closing(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def close(self: Server, reason: int | None = None, message: str | None = None) -> None:
        original(self, reason, message)
        _closed_here.setdefault(self, Closed(int(reason or 1000), message or "", "server"))

    return close


def _receiving(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def receive(self: Server, *arguments: Any, **options: Any) -> Any:
        connection = _connections.get(self)
        if connection is None:
            return original(self, *arguments, **options)
        connection.waits()
        message = original(self, *arguments, **options)
        if message is not None:
            connection.has_received()
        return message

    return receive


def _sending(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(self: Server, data: Any) -> None:
        started_at = clock.time_ns()
        original(self, data)
        connection = _connections.get(self)
        if connection is not None:
            connection.has_sent(started_at)

    return send


def _how_closed(server: Server) -> Closed:
    here = _closed_here.get(server)
    if here is not None:
        return here
    if server.ws.state.name == "LOCAL_CLOSING":
        # The library itself, without `close`.
        return Closed(1009, "", "server")
    if server.ws.state.name == "CLOSED":
        # Both sides have sent a close frame, and the client was first.
        return Closed(int(server.close_reason), str(server.close_message or ""), "client")
    return Closed()
