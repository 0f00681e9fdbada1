"""A WebSocket of flask-sock, and an event of Flask-SocketIO."""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask
from flask_sock import Sock
from flask_socketio import SocketIO

logger = logging.getLogger("shop.sockets")


def add(app: Flask) -> None:
    """Add the WebSocket."""
    sock = Sock(app)

    @sock.route("/socket/<room>")
    def echo(ws: Any, room: str) -> None:
        logger.info("joined %s", room)
        while True:
            ws.send(ws.receive())


def say() -> Any:
    """Let an app of its own handle an event, and return its answer."""
    app = Flask("chat")
    app.secret_key = "nobody's"
    chat = SocketIO(app, async_mode="threading", async_handlers=False)
    chat.on_event("say", str.upper)
    client = chat.test_client(app)
    return client.emit("say", "hi", callback=True)
