"""Flask: the search for an error handler, and the request and ``g`` behind their proxies.

Sources: ``flask.sansio.app.App``, ``werkzeug.local.LocalProxy``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, g, request
from werkzeug.wrappers import Request

#: The current request without its proxy, which costs more. Raises RuntimeError outside of a request.
current_request: Callable[[], Request] = request._get_current_object  # type: ignore[attr-defined]

#: The namespace of the current app context without its proxy. Raises RuntimeError outside of one.
_current_g: Callable[[], object] = g._get_current_object


def current_g() -> dict[str, Any]:
    """What the app has put on ``flask.g``. Raises RuntimeError outside of an app context."""
    return vars(_current_g())


def handler_search(app: Flask) -> Callable[..., Any]:
    """The function that finds the app's handler of an exception: ``search(error, blueprints)``, None for none."""
    return app._find_error_handler


def replace_handler_search(app: Flask, search: Callable[..., Any]) -> None:
    """Replace the function that finds the app's handlers."""
    app._find_error_handler = search  # type: ignore[method-assign]
