"""Render an answer as a response: JSON or a page, as the client and the app want it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

import flask
import jinja2
from flask import Blueprint, Flask, Response, request
from flask.json.provider import DefaultJSONProvider
from markupsafe import escape

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
#: Digits of the trace id that a page quotes: enough to find one request, and short enough to say on the phone.
REFERENCE_LENGTH = 8
#: Folders of the app's templates, in the order in which they are searched.
_TEMPLATE_FOLDERS = ("errors", "error")
_HINTS = {
    400: "Check your input, and try again.",
    401: "Log in, and try again.",
    403: "If you need access, ask the operator of this site.",
    404: "Check the address, or go back to the previous page.",
    405: "Go back to the previous page.",
    429: "Wait a moment, and try again.",
    500: "The error is on our side. Try again in a moment. If it happens again, report it with the reference below.",
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
        #: Status → name of the app's template.
        self._templates: dict[int, str | None] = {}
        folder = resources.files("otelflask._internal.error_responses")
        self._page = folder.joinpath("templates/error.html").read_text("utf-8")

    def response(self, app: Flask, answer: Answer) -> Response:
        """The response to the current request."""
        format, by_accept = ("json", False) if answer.success else self._format(app, answer)
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

    def _format(self, app: Flask, answer: Answer) -> tuple[str, bool]:
        """The format, and whether the client's Accept header decided it."""
        for name in request.blueprints:
            chosen = getattr(app.blueprints.get(name), _ATTRIBUTE, None)
            if chosen is not None:
                return chosen, False
        if self._prefixes and request.path.startswith(self._prefixes):
            return "json", False
        page, json = _quality(lambda name: name == "text/html"), _quality(_is_json)
        if page is None and json is None:
            # The client takes anything. Flask's own errors stay pages, unless a program has sent JSON.
            wants_json = answer.by_app or request.is_json
        else:
            wants_json = page == 0 or (json or 0) > (page or 0)
        return ("json" if wants_json else "html"), True

    def _html(self, app: Flask, answer: Answer) -> str:
        status = answer.status
        of_class = 500 if status >= 500 else 400
        known = ids()
        values = {
            "status": status,
            "title": answer.title,
            "message": answer.message if answer.by_app else _SENTENCES.get(status, answer.message),
            "hint": _HINTS.get(status, _HINTS[of_class]),
            "trace_id": "",
            "request_id": "",
            **known,
            "reference": known.get("trace_id", "")[:REFERENCE_LENGTH] or known.get("request_id", ""),
        }
        page = guard.attempt(self._page_of_app, app, values, on_error=lambda error: _log_failure(app, error, _TEMPLATE))
        if page is not None:
            return page
        # Without Jinja, which may be instrumented: then our page would be a span of the app.
        return self._page % {name: escape(value) for name, value in values.items()}

    def _page_of_app(self, app: Flask, values: dict[str, Any]) -> str | None:
        """The page by the app's own template; None where it has none."""
        status = values["status"]
        # Looked for once, unless Jinja looks for changes too. Looking costs more than our page.
        if status not in self._templates or app.jinja_env.auto_reload:
            self._templates[status] = _template_of_app(app, status)
        name = self._templates[status]
        return flask.render_template(app.jinja_env.get_template(name), **values) if name is not None else None


def _quality(is_meant: Callable[[str], bool]) -> float | None:
    """The highest quality of a media type that the client accepts by name; None where it names none."""
    names = ((value.partition(";")[0].strip().lower(), quality) for value, quality in request.accept_mimetypes)
    return max((quality for name, quality in names if is_meant(name)), default=None)


def _is_json(name: str) -> bool:
    return name == "application/json" or name.endswith("+json")


def _log_failure(app: Flask, error: Exception, what: str) -> None:
    app.logger.error("%s failed; the built-in answer is used", what, exc_info=error)


def _dumps(app: Flask, body: Any) -> str:
    """A body as JSON that people can read, with curl or in a log. A provider of the app's own does as it does."""
    return app.json.dumps(body, **({"ensure_ascii": False} if type(app.json) is DefaultJSONProvider else {}))


def _template_of_app(app: Flask, status: int) -> str | None:
    """The name of the app's template for a status; None where it has none."""
    files = (f"{status}.html", f"{status // 100}xx.html", "error.html")
    names = (f"{folder}/{file}" for file in files for folder in _TEMPLATE_FOLDERS)
    return next((name for name in names if _exists(app.jinja_env, name)), None)


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
