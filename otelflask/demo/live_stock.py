"""The stock of a product, live: a WebSocket that sends each change."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_sock import Sock

from otelflask.demo.models import Product

#: Seconds between two looks.
PAUSE_S = 0.5


def add(app: Flask) -> None:
    """Add the route."""
    sock = Sock(app)

    @sock.route("/api/products/<int:product_id>/stock")  # type: ignore[untyped-decorator]
    def stock(socket: Any, product_id: int) -> None:
        sessions, known = app.extensions["shop"], None
        while True:
            product = sessions().get(Product, product_id)
            found = product.stock if product is not None else 0
            # Not the same row again from the session.
            sessions.remove()
            if found != known:
                socket.send(str(found))
                known = found
            # A client that leaves ends the function here.
            socket.receive(timeout=PAUSE_S)
