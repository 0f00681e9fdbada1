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
            message = ws.receive()
            if message == "boom":
                raise LookupError("no such room")
            ws.send(message)


def _upper(text: str) -> str:
    if text == "boom":
        raise LookupError("no such room")
    return text.upper()


def say(text: str) -> Any:
    """Let an app of its own handle an event, and return its answer."""
    app = Flask("chat")
    app.secret_key = "nobody's"
    chat = SocketIO(app, async_mode="threading", async_handlers=False)
    chat.on_event("say", _upper)
    chat.on_error_default(str)
    client = chat.test_client(app)
    return client.emit("say", text, callback=True)
