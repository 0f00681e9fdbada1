"""Render an answer as a response: JSON or a page, as the client and the app want it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask, Request, Response, request
from flask.json.provider import DefaultJSONProvider

from otelflask._internal import guard
from otelflask._internal.error_responses.answer import Answer
from otelflask._internal.error_responses.formats import FORMATS
from otelflask._internal.error_responses.negotiation import preferred, preferred_of
from otelflask._internal.error_responses.pages import ErrorPages, log_failure
from otelflask._internal.settings import SettingError, Settings

#: A renderer of the user: takes an answer, and returns anything that a view may return.
UserRenderer = Callable[[Answer], Any]

_JSON_OR_PAGE = ("json", "html")
_ATTRIBUTE = "otelflask_error_format"


def answer_errors_with(blueprint: Blueprint, format: str) -> None:
    """Answer a blueprint's errors in one format, whatever the path and the client say.

    Args:
        blueprint: The blueprint.
        format: ``json`` or ``html``.

    Raises:
        SettingError: Another format.
    """
    if format not in _JSON_OR_PAGE:
        raise SettingError(f"the error format of blueprint {blueprint.name!r} is {format!r}; allowed are json and html")
    setattr(blueprint, _ATTRIBUTE, format)


class Renderer:
    """Renders one app's answers to errors and successes.

    Args:
        settings: The settings.
        function: A function of the user that makes the body of each answer that is not a page.
    """

    def __init__(self, settings: Settings, function: UserRenderer | None = None) -> None:
        self._body = FORMATS[settings.error_format]
        self._timestamp_format = settings.timestamp_format
        self._error_type = "application/problem+json" if settings.error_format == "problem" else "application/json"
        self._prefixes = tuple(part.strip() for part in settings.json_paths.split(",") if part.strip())
        self._function = function
        self._pages = ErrorPages()

    def response(self, app: Flask, answer: Answer) -> Response:
        """The response to the current request."""
        format, by_accept = ("json", False) if answer.success else self._format(app, answer)
        if format == "html":
            response = Response(self._pages.page(app, answer), answer.status, mimetype="text/html")
        else:
            response = self._by_user(app, answer) or self._json(app, answer)
        for name, value in answer.headers:
            response.headers.add(name, value)
        if by_accept:
            if "Vary" in response.headers:
                response.vary.add("Accept")
            else:
                response.headers["Vary"] = "Accept"
        return response

    def _by_user(self, app: Flask, answer: Answer) -> Response | None:
        if self._function is None:
            return None
        failed = functools.partial(log_failure, app, "the error_renderer")
        return guard.attempt(self._of_function, app, answer, on_error=failed)

    def _of_function(self, app: Flask, answer: Answer) -> Response:
        made: Any = self._function(answer) if self._function is not None else None
        if isinstance(made, (dict, list)):
            made = app.response_class(_dumps(app, made), mimetype="application/json")
        response = app.make_response(made)
        response.status_code = answer.status
        return response

    def _json(self, app: Flask, answer: Answer) -> Response:
        body = self._body(answer, self._timestamp_format)
        mimetype = "application/json" if answer.success else self._error_type
        return app.response_class(_dumps(app, body), answer.status, mimetype=mimetype)

    def _format(self, app: Flask, answer: Answer) -> tuple[str, bool]:
        """The format, and whether the client's Accept header decided it."""
        for name in request.blueprints:
            chosen = getattr(app.blueprints.get(name), _ATTRIBUTE, None)
            if chosen is not None:
                return chosen, False
        if self._prefixes and request.path.startswith(self._prefixes):
            return "json", False
        if app.request_class.accept_mimetypes is Request.accept_mimetypes:
            asked = preferred(request.headers.get("Accept", ""))
        else:
            # The app reads the header in its own way.
            asked = preferred_of(request.accept_mimetypes)
        if asked is None:
            # The client takes anything. Flask's own errors stay pages, unless a program has sent JSON.
            asked = "json" if answer.by_app or request.is_json else "html"
        return asked, True


def _dumps(app: Flask, body: Any) -> str:
    """A body as JSON that people can read, with curl or in a log. A provider of the app's own does as it does."""
    return app.json.dumps(body, **({"ensure_ascii": False} if type(app.json) is DefaultJSONProvider else {}))
