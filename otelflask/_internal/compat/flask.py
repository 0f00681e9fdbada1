"""Flask: the search for an error handler, and the request and ``g`` behind their proxies.

Sources: ``flask.sansio.app.App``, ``flask.globals``, ``werkzeug.local.LocalProxy``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from flask import Flask, g, has_request_context, request
from flask import globals as flask_globals

#: The variable with the context of the current request; None for a Flask that keeps it elsewhere.
_request_contexts: ContextVar[Any] | None = vars(flask_globals).get("_cv_request")
_current_request: Callable[[], Any] = request._get_current_object  # type: ignore[attr-defined]


def current_environ() -> dict[str, Any] | None:
    """The WSGI environ of the current request, without Flask's proxy, which costs more; None outside of a request."""
    if _request_contexts is not None:
        context = _request_contexts.get(None)
        return context.request.environ if context is not None else None
    return _current_request().environ if has_request_context() else None


#: The namespace of the current app context without its proxy. Raises RuntimeError outside of one.
_current_g: Callable[[], object] = g._get_current_object


def current_g() -> dict[str, Any]:
    """What the app has put on ``flask.g``; empty outside of an app context."""
    try:
        # A class of the app's own may have slots instead.
        return getattr(_current_g(), "__dict__", {})
    except RuntimeError:
        return {}


def handler_search(app: Flask) -> Callable[..., Any]:
    """The function that finds the app's handler of an exception: ``search(error, blueprints)``, None for none."""
    return app._find_error_handler


def replace_handler_search(app: Flask, search: Callable[..., Any]) -> None:
    """Replace the function that finds the app's handlers."""
    app._find_error_handler = search  # type: ignore[method-assign]
