"""Flask: how it searches for a handler of an error, and the request behind its proxy.

Sources: ``flask.sansio.app.App``, ``werkzeug.local.LocalProxy``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, request
from werkzeug.wrappers import Request

#: The request being handled, without its proxy, which costs more; raises RuntimeError outside of one.
current_request: Callable[[], Request] = request._get_current_object  # type: ignore[attr-defined]


def handler_search(app: Flask) -> Callable[..., Any]:
    """What finds the app's handler of an exception, ``search(error, blueprints)``; it gives None for none."""
    return app._find_error_handler


def replace_handler_search(app: Flask, search: Callable[..., Any]) -> None:
    """Let the app find its handlers by this."""
    app._find_error_handler = search  # type: ignore[method-assign]
