"""Answer errors at the end of Flask's chain: only those that no handler of the app takes.

By Flask's rules a registered handler of ours would win over the app's ``errorhandler(Exception)``.
So none is registered: Flask's search for a handler goes first, and what it does not find is
answered here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, got_request_exception, request
from werkzeug.exceptions import HTTPException, default_exceptions

from otelflask._internal import guard
from otelflask._internal.compat.flask import handler_search, replace_handler_search
from otelflask._internal.current_request import current_record
from otelflask._internal.error_responses.answer import answer_of
from otelflask._internal.error_responses.app_errors import AppError
from otelflask._internal.error_responses.renderer import Renderer
from otelflask._internal.limits import bounded

Handler = Callable[[Exception], Any]

#: Methods by which an exception of Werkzeug makes its answer (``werkzeug.exceptions.HTTPException``).
_MAKE_AN_ANSWER = frozenset({"__call__", "get_response", "get_body", "get_headers", "get_description"})
#: The characters of an error's message that the request's telemetry has, and a margin: it is masked later.
MAX_MESSAGE = 1_000
#: Modules, by the beginning of their name, with the methods of stock answers.
_MAKERS_OF_STOCK_ANSWERS = ("werkzeug.", __name__)


def answer_errors(app: Flask, renderer: Renderer) -> None:
    """Make the renderer answer what no handler of the app answers."""
    search = handler_search(app)

    def answer(error: HTTPException | AppError) -> Any:
        return renderer.response(app, answer_of(error, request.environ))

    def ours(error: Exception) -> Any:
        assert isinstance(error, (HTTPException, AppError))
        # What the app has put into the error may not be fit for display. A failed answer must not be one more error.
        found = guard.call_hook("renderer of an error response", answer, error)
        if found is not None:
            return found
        return error if isinstance(error, HTTPException) else _as_http(error)

    @functools.wraps(search)
    def find(error: Exception, *arguments: Any) -> Handler | None:
        if isinstance(error, AppError):
            _note(error)
            # Flask's order: code before class. A handler of HTTP exceptions is meant for errors that clients see.
            http = _as_http(error)
            of_status = _by_status(app, http)
            of_class = of_status or search(error, *arguments)
            of_http = None if of_class else search(http, *arguments)
            if of_status or of_http:
                return _given(app, http, of_status or of_http)
            return of_class or ours
        found: Handler | None = search(error, *arguments)
        if found is not None:
            return found
        if not isinstance(error, HTTPException) or app.trap_http_exception(error):
            # Flask is configured not to answer it.
            return None
        # Redirects, and answers that the app makes itself by `abort(response)` or a class, stay as they are.
        if not isinstance(error.code, int) or error.code < 400 or _answers_itself(app, error):
            return None
        return ours

    replace_handler_search(app, find)


def _note(error: AppError) -> None:
    """Put code and message on the request's record: they say why the client got this status."""
    record = current_record()
    if record is not None and error.status >= 400:
        record.app_error = _plain(error.code), bounded(guard.safe_text(error.message), MAX_MESSAGE)


def _plain(code: object) -> str | int:
    return code if isinstance(code, (str, int)) else guard.safe_text(code)


def _answers_itself(app: Flask, error: HTTPException) -> bool:
    """Whether the app makes the answer: by the exception, its class, or its own `handle_http_exception`."""
    if getattr(error, "response", None) is not None:
        return True
    if getattr(app.handle_http_exception, "__func__", None) is not Flask.handle_http_exception:
        return True
    kind: Any = type(error)
    if not _is_stock(kind):
        return True
    own = [error.__dict__[name] for name in _MAKE_AN_ANSWER.intersection(error.__dict__)]
    # `get_headers` of an `AppError` is ours.
    return any(not str(getattr(method, "__module__", "")).startswith(_MAKERS_OF_STOCK_ANSWERS) for method in own)


@functools.lru_cache(maxsize=1_000)
def _is_stock(kind: Any) -> bool:
    """Whether all methods that make this class's answers are Werkzeug's."""
    for name in _MAKE_AN_ANSWER:
        owner = next(item for item in kind.__mro__ if name in item.__dict__)
        # Check both modules: a decorator gives a method another module's name.
        modules = (owner.__module__, str(getattr(getattr(kind, name), "__module__", "")))
        if not all(module.startswith(_MAKERS_OF_STOCK_ANSWERS) for module in modules):
            return False
    return True


def _as_http(error: AppError) -> HTTPException:
    """The HTTP exception that handlers of a status expect, with the error's message, headers and itself."""
    kind = default_exceptions.get(error.status) or type("HTTPException", (HTTPException,), {"code": error.status})
    http: HTTPException = kind(description=str(error))
    http.original_exception = error  # type: ignore[attr-defined]
    own = http.get_headers

    def with_headers(*arguments: Any, **options: Any) -> list[tuple[str, str]]:
        named = {name.lower() for name in error.headers}
        return [item for item in own(*arguments, **options) if item[0].lower() not in named] + list(
            error.headers.items()
        )

    http.get_headers = with_headers  # type: ignore[method-assign]
    return http


def _by_status(app: Flask, http: HTTPException) -> Any:
    """The app's handler of exactly this status."""
    for name in (*request.blueprints, None):
        handlers = app.error_handler_spec[name][http.code]
        for base in type(http).__mro__:
            if base in handlers:
                return handlers[base]
    return None


def _given(app: Flask, http: HTTPException, handler: Any) -> Handler:
    def handle(error: Exception) -> Any:
        return app.ensure_sync(handler)(http)

    return handle


def roll_back(app: Flask, sessions: Iterable[Any]) -> None:
    """Roll back database sessions after an unhandled error, so that the next request can work.

    Args:
        app: The app. The session of its Flask-SQLAlchemy is always rolled back.
        sessions: More objects with ``rollback()``, such as a ``scoped_session``.
    """
    given = tuple(sessions)

    def after_error(sender: Flask, **values: Any) -> None:
        known = app.extensions.get("sqlalchemy")
        of_flask_sqlalchemy = getattr(known, "session", None)
        for session in (*given, *((of_flask_sqlalchemy,) if of_flask_sqlalchemy is not None else ())):
            with guard.log_errors("rollback", "a database session cannot be rolled back"):
                session.rollback()

    # The app holds the function, because signals keep only weak references.
    app.extensions["otelflask.rollback"] = after_error
    got_request_exception.connect(after_error, app)
