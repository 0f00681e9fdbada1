"""Answers errors at the end of Flask's own chain: only where no handler of the app's wants to.

A handler that we registered would win over the app's ``errorhandler(Exception)``
by Flask's rules, so none is registered: Flask's search for a handler is asked
first, and what it does not find is answered here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, got_request_exception, request
from werkzeug.exceptions import HTTPException, default_exceptions

from otelflask import guard
from otelflask.errors.exceptions import AppError
from otelflask.errors.problem import problem_of
from otelflask.errors.rendering import ErrorRenderer

Handler = Callable[[Exception], Any]


def answer_errors(app: Flask, renderer: ErrorRenderer) -> None:
    """Let the renderer answer what no handler of the app's answers."""
    search = app._find_error_handler

    def ours(error: Exception) -> Any:
        assert isinstance(error, (HTTPException, AppError))
        return renderer.response(app, problem_of(error, request.environ))

    @functools.wraps(search)
    def find(error: Exception, *arguments: Any) -> Handler | None:
        if isinstance(error, AppError):
            # Flask's order: code before class.
            return _by_status(app, error) or search(error, *arguments) or ours
        found = search(error, *arguments)
        if found is not None:
            return found
        # Redirects, and responses that the app made itself (`abort(response)`), are left alone.
        if isinstance(error, HTTPException) and error.response is None and (error.code or 0) >= 400:
            return ours
        return None

    app._find_error_handler = find  # type: ignore[method-assign,assignment]


def _by_status(app: Flask, error: AppError) -> Handler | None:
    """The app's handler of this status, which gets the HTTP exception it expects."""
    kind = default_exceptions.get(error.status)
    if kind is None:
        return None
    for name in (*request.blueprints, None):
        handlers = app.error_handler_spec[name][error.status]
        for base in kind.__mro__:
            if base in handlers:
                handler = handlers[base]

                def as_http(error: Exception, handler: Any = handler, kind: type[HTTPException] = kind) -> Any:
                    http = kind(str(error))
                    http.original_exception = error  # type: ignore[attr-defined]
                    return app.ensure_sync(handler)(http)

                return as_http
    return None


def roll_back(app: Flask, sessions: Iterable[Any]) -> None:
    """After an unhandled error, roll back Flask-SQLAlchemy's session and these, so that the next request can work.

    In: objects with ``rollback()``, such as a ``scoped_session``.
    """
    given = tuple(sessions)

    def after_error(sender: Flask, **values: Any) -> None:
        known = app.extensions.get("sqlalchemy")
        of_flask_sqlalchemy = getattr(known, "session", None)
        for session in (*given, *((of_flask_sqlalchemy,) if of_flask_sqlalchemy is not None else ())):
            try:
                session.rollback()
            except Exception:
                guard.say("rollback", "a database session cannot be rolled back", exc_info=True)

    # The app holds it: signals keep only weak references.
    app.extensions["otelflask.rollback"] = after_error
    got_request_exception.connect(after_error, app)
