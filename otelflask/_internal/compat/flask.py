"""Flask: the search for an error handler, and the request behind its proxy.

Sources: ``flask.sansio.app.App``, ``werkzeug.local.LocalProxy``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, request
from werkzeug.wrappers import Request

#: The current request without its proxy, which costs more. Raises RuntimeError outside of a request.
current_request: Callable[[], Request] = request._get_current_object  # type: ignore[attr-defined]


def handler_search(app: Flask) -> Callable[..., Any]:
    """The function that finds the app's handler of an exception: ``search(error, blueprints)``, None for none."""
    return app._find_error_handler


def replace_handler_search(app: Flask, search: Callable[..., Any]) -> None:
    """Replace the function that finds the app's handlers."""
    app._find_error_handler = search  # type: ignore[method-assign]
