"""Flask-SocketIO: its WSGI middleware, and the function through which it calls each handler.

Source: ``flask_socketio.SocketIO``.
"""

from __future__ import annotations

from flask_socketio import _SocketIOMiddleware as Middleware

__all__ = ["HANDLE_EVENT", "Middleware"]

#: The name of the method that calls a handler: ``(handler, event, namespace, sid, *arguments)``.
HANDLE_EVENT = "_handle_event"
