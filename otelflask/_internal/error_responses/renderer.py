"""Render a problem as a response: JSON or a page, as the client and the app want it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

import flask
import jinja2
from flask import Blueprint, Flask, Response, request
from opentelemetry import trace as trace_api

from otelflask._internal import clock, guard
from otelflask._internal.current_request import get_request_id
from otelflask._internal.error_responses.problem import Problem
from otelflask._internal.settings import SettingError, Settings

#: A renderer of the user: takes a problem, and returns anything that a view may return.
Renderer = Callable[[Problem], Any]

_FORMATS = ("json", "html")
_ATTRIBUTE = "otelflask_error_format"
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
    if format not in _FORMATS:
        raise SettingError(f"the error format of blueprint {blueprint.name!r} is {format!r}; allowed are json and html")
    setattr(blueprint, _ATTRIBUTE, format)


def ids() -> tuple[str, str]:
    """The trace id (32 hex digits) and the request id of the current request. Each is empty where there is none."""
    context = trace_api.get_current_span().get_span_context()
    return (f"{context.trace_id:032x}" if context.is_valid else "", get_request_id() or "")


class ErrorRenderer:
    """Renders one app's errors.

    Args:
        settings: The settings.
        renderer: A function of the user that makes the body of each error that is not a page.
    """

    def __init__(self, settings: Settings, renderer: Renderer | None = None) -> None:
        self._envelope = settings.error_format == "envelope"
        self._prefixes = tuple(part.strip() for part in settings.json_paths.split(",") if part.strip())
        self._renderer = renderer
        source = (
            resources.files("otelflask._internal.error_responses").joinpath("templates/error.html").read_text("utf-8")
        )
        self._page = jinja2.Environment(autoescape=True).from_string(source)

    def response(self, app: Flask, problem: Problem) -> Response:
        """The response to the current request."""
        format, by_accept = self._format(app)
        if format == "html":
            response = Response(self._html(app, problem), problem.status, mimetype="text/html")
        else:
            response = self._by_user(app, problem) or self._json(app, problem)
        for name, value in problem.headers:
            response.headers.add(name, value)
        if by_accept:
            response.vary.add("Accept")
        return response

    def _by_user(self, app: Flask, problem: Problem) -> Response | None:
        if self._renderer is None:
            return None
        response: Response | None = None
        # A failed answer must not be one more error.
        with guard.log_errors("error renderer", "the error_renderer failed; the built-in response is used"):
            response = app.make_response(self._renderer(problem))
            response.status_code = problem.status
        return response

    def _json(self, app: Flask, problem: Problem) -> Response:
        body = self._as_envelope(problem) if self._envelope else self._as_problem(problem)
        response: Response = app.response_class(app.json.dumps(body), problem.status)
        response.mimetype = "application/json" if self._envelope else "application/problem+json"
        return response

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

    @staticmethod
    def _as_problem(problem: Problem) -> dict[str, Any]:
        """Problem details (RFC 9457, 3.1) with our extensions."""
        trace_id, request_id = ids()
        body: dict[str, Any] = {
            "type": problem.type,
            "title": problem.title,
            "status": problem.status,
            "detail": problem.detail,
            "instance": request.path,
        }
        extensions = {
            "code": problem.code,
            "errors": problem.errors or None,
            "details": problem.details,
            "trace_id": trace_id or None,
            "request_id": request_id or None,
        }
        return {**body, **{name: value for name, value in extensions.items() if value is not None}}

    @staticmethod
    def _as_envelope(problem: Problem) -> dict[str, Any]:
        data = problem.details
        if problem.errors:
            data = {"errors": problem.errors, **({"details": data} if data is not None else {})}
        return {**envelope(False, problem.detail, data), "error_code": problem.code}

    def _html(self, app: Flask, problem: Problem) -> str:
        trace_id, request_id = ids()
        status = problem.status
        of_class = 500 if status >= 500 else 400
        values = {
            "status": status,
            "title": problem.title,
            "message": problem.detail if problem.by_app else _SENTENCES.get(status, problem.detail),
            "hint": _HINTS.get(status, _HINTS[of_class]),
            "trace_id": trace_id,
            "request_id": request_id,
        }
        names = [f"errors/{status}.html", f"errors/{status // 100}xx.html", "errors/error.html"]
        # A failed error page must not be one more error.
        with guard.log_errors("error template", "a template of an error page failed; the built-in page is used"):
            template = _first_template(app, names)
            if template is not None:
                return flask.render_template(template, **values)
        return self._page.render(values)


def _first_template(app: Flask, names: list[str]) -> jinja2.Template | None:
    """The first of these templates that the app has; None where it has none, or where one cannot be read."""
    try:
        return app.jinja_env.select_template(names)
    except jinja2.TemplatesNotFound:
        return None
    except jinja2.TemplateError as error:
        text = "a template of an error page cannot be read; the built-in page is used"
        guard.log("error template", text, exc_info=error)
        return None


def envelope(success: bool, message: str, data: Any) -> dict[str, Any]:
    """The common part of answers in the envelope format."""
    return {
        "success": success,
        "message": message,
        "data": data,
        "request": f"{request.method} {request.path}",
        "timestamp": clock.now().isoformat(timespec="milliseconds"),
        "trace_id": ids()[0],
    }
