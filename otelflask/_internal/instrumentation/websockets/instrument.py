"""Instrument the libraries of WebSockets when the app imports them, once in a process."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.import_hooks import Cancel, when_imported
from otelflask._internal.instrumentation.websockets.connections import Connections

if TYPE_CHECKING:
    # Imported on use, because it needs the library.
    from otelflask._internal.instrumentation.websockets.socketio import Surround

#: Functions that cancel what waits for an import, and that undo what was done.
_undo: list[Cancel] = []


def instrument(pipeline: Pipeline, spans: str, surround: Surround) -> None:
    """Instrument simple-websocket, which flask-sock and Flask-SocketIO use, and Flask-SocketIO. Later calls do nothing.

    Args:
        pipeline: Where the telemetry goes.
        spans: The setting `websocket_spans`.
        surround: Wraps an app within its instrumentation.
    """
    if _undo:
        return
    connections = Connections(pipeline, messages=spans == "messages")
    _undo.append(when_imported("simple_websocket", functools.partial(_simple_websocket, connections)))
    _undo.append(when_imported("flask_socketio", functools.partial(_socketio, pipeline, spans != "none", surround)))


def _simple_websocket(connections: Connections) -> None:
    # Here, because it imports the library.
    from otelflask._internal.instrumentation.websockets import simple_websocket

    _undo.append(simple_websocket.observe(connections))


def _socketio(pipeline: Pipeline, spans: bool, surround: Surround) -> None:
    from otelflask._internal.instrumentation.websockets import socketio

    _undo.append(socketio.observe(socketio.Events(pipeline, spans), surround))


def uninstrument() -> None:
    """Undo `instrument`, for tests."""
    while _undo:
        _undo.pop()()
