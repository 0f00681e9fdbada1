"""Render an answer as a response: JSON or a page, as the client and the app want it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

import flask
import jinja2
from flask import Blueprint, Flask, Response, request
from flask.json.provider import DefaultJSONProvider

from otelflask._internal import guard
from otelflask._internal.error_responses.answer import Answer
from otelflask._internal.error_responses.formats import FORMATS, ids
from otelflask._internal.settings import SettingError, Settings

#: A renderer of the user: takes an answer, and returns anything that a view may return.
UserRenderer = Callable[[Answer], Any]

_JSON_OR_PAGE = ("json", "html")
#: What may fail, in words.
_RENDERER, _TEMPLATE = "the error_renderer", "the template of an error page"
_ATTRIBUTE = "otelflask_error_format"
#: Folders of the app's templates, in the order in which they are searched.
_TEMPLATE_FOLDERS = ("errors", "error")
_HINTS = {
    400: "Check your input, and try again.",
    401: "Log in, and try again.",
    403: "If you need access, ask the operator of this site.",
    404: "Check the address, or go back to the previous page.",
    405: "Go back to the previous page.",
    429: "Wait a moment, and try again.",
    500: "The error is on our side. Try again in a moment. If it happens again, report it with the number below.",
    503: "Try again in a few minutes.",
}
_SENTENCES = {
    404: "This page does not exist.",
    500: "Something went wrong on our side.",
    503: "The service is not available at the moment.",
}


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
        source = (
            resources.files("otelflask._internal.error_responses").joinpath("templates/error.html").read_text("utf-8")
        )
        self._page = jinja2.Environment(autoescape=True).from_string(source)

    def response(self, app: Flask, answer: Answer) -> Response:
        """The response to the current request."""
        format, by_accept = ("json", False) if answer.success else self._format(app)
        if format == "html":
            response = Response(self._html(app, answer), answer.status, mimetype="text/html")
        else:
            response = self._by_user(app, answer) or self._json(app, answer)
        for name, value in answer.headers:
            response.headers.add(name, value)
        if by_accept:
            response.vary.add("Accept")
        return response

    def _by_user(self, app: Flask, answer: Answer) -> Response | None:
        if self._function is None:
            return None
        # A failed answer must not be one more error, but it is one of the app's, which its log has.
        return guard.attempt(self._of_function, app, answer, on_error=lambda error: _log_failure(app, error, _RENDERER))

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

    def _format(self, app: Flask) -> tuple[str, bool]:
        """The format, and whether the client's Accept header decided it."""
        for name in request.blueprints:
            chosen = getattr(app.blueprints.get(name), _ATTRIBUTE, None)
            if chosen is not None:
                return chosen, False
        if self._prefixes and request.path.startswith(self._prefixes):
            return "json", False
        accepted = request.accept_mimetypes
        # A wildcard does not ask for a page: programs send it, while browsers name text/html.
        listed = [quality for value, quality in accepted if value.partition(";")[0].strip().lower() == "text/html"]
        wants_page = bool(listed) and max(listed) > 0 and max(listed) >= accepted.quality("application/json")
        return ("html" if wants_page else "json"), True

    def _html(self, app: Flask, answer: Answer) -> str:
        status = answer.status
        of_class = 500 if status >= 500 else 400
        values = {
            "status": status,
            "title": answer.title,
            "message": answer.message if answer.by_app else _SENTENCES.get(status, answer.message),
            "hint": _HINTS.get(status, _HINTS[of_class]),
            "trace_id": "",
            "request_id": "",
            **ids(),
        }
        files = (f"{status}.html", f"{status // 100}xx.html", "error.html")
        names = [f"{folder}/{file}" for file in files for folder in _TEMPLATE_FOLDERS]
        page = guard.attempt(
            _page_of_app, app, names, values, on_error=lambda error: _log_failure(app, error, _TEMPLATE)
        )
        return page if page is not None else self._page.render(values)


def _log_failure(app: Flask, error: Exception, what: str) -> None:
    app.logger.error("%s failed; the built-in answer is used", what, exc_info=error)


def _dumps(app: Flask, body: Any) -> str:
    """A body as JSON that people can read, with curl or in a log. A provider of the app's own does as it does."""
    return app.json.dumps(body, **({"ensure_ascii": False} if type(app.json) is DefaultJSONProvider else {}))


def _page_of_app(app: Flask, names: list[str], values: dict[str, Any]) -> str | None:
    """The page by the first of these templates that the app has; None where it has none."""
    environment = app.jinja_env
    name = next((name for name in names if _exists(environment, name)), None)
    return flask.render_template(environment.get_template(name), **values) if name is not None else None


def _exists(environment: jinja2.Environment, name: str) -> bool:
    loader = environment.loader
    try:
        if loader is not None and loader.has_source_access:
            # Not by the environment: where Jinja is instrumented, each missing template would be a failed span.
            loader.get_source(environment, name)
        else:
            environment.get_template(name)
    except jinja2.TemplateNotFound:
        return False
    return True
