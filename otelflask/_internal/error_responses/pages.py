"""Error pages: the app's own template for a status, else a page of ours."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import flask
import jinja2
from flask import Flask
from markupsafe import escape

from otelflask._internal import guard
from otelflask._internal.error_responses.answer import Answer
from otelflask._internal.error_responses.formats import ids

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
#: The longest message, in characters, with which our page is kept, and the most such pages.
_MAX_KEPT_MESSAGE = 200
_MAX_KEPT = 100


class ErrorPages:
    """Makes the pages of one app's errors."""

    def __init__(self) -> None:
        #: Status → name of the app's template.
        self._templates: dict[int, str | None] = {}
        folder = resources.files("otelflask._internal.error_responses")
        self._page = folder.joinpath("templates/error.html").read_text("utf-8")
        self._kept = functools.lru_cache(_MAX_KEPT)(self._without_reference)

    def page(self, app: Flask, answer: Answer) -> str:
        """The page of an answer to the current request."""
        status, known = answer.status, ids()
        trace_id, request_id = known.get("trace_id", ""), known.get("request_id", "")
        reference = trace_id[:REFERENCE_LENGTH] or request_id
        message = answer.message if answer.by_app else _SENTENCES.get(status, answer.message)
        # Looked for once, unless Jinja looks for changes too. Looking costs more than our page.
        if self._templates.get(status, "") is not None or app.jinja_env.auto_reload:
            values = {
                "status": status,
                "title": answer.title,
                "message": message,
                "hint": _hint(status),
                "trace_id": trace_id,
                "request_id": request_id,
                "reference": reference,
            }
            failed = functools.partial(log_failure, app, "the template of an error page")
            page = guard.attempt(self._page_of_app, app, values, on_error=failed)
            if page is not None:
                return page
        # The app may give any value.
        is_kept = type(message) is str and type(answer.title) is str and len(message) <= _MAX_KEPT_MESSAGE
        before, after = (self._kept if is_kept else self._without_reference)(status, answer.title, message)
        return f"{before}{escape(reference)}{after}"

    def _without_reference(self, status: int, title: str, message: Any) -> tuple[str, str]:
        """Our page before and after the reference. Made without Jinja: if that is instrumented, it would be a span."""
        values = {"status": status, "title": title, "message": message, "hint": _hint(status)}
        escaped = {name: escape(value) for name, value in values.items()}
        before, _, after = self._page.partition("%(reference)s")
        return before % escaped, after % escaped

    def _page_of_app(self, app: Flask, values: dict[str, Any]) -> str | None:
        """The page by the app's own template; None where it has none."""
        status = values["status"]
        if status not in self._templates or app.jinja_env.auto_reload:
            self._templates[status] = _template_of_app(app, status)
        name = self._templates[status]
        return flask.render_template(app.jinja_env.get_template(name), **values) if name is not None else None


def log_failure(app: Flask, what: str, error: Exception) -> None:
    """Log that a part of the app failed, by the app's logger: it is one of the app's errors."""
    app.logger.error("%s failed; the built-in answer is used", what, exc_info=error)


def _hint(status: int) -> str:
    return _HINTS.get(status, _HINTS[500 if status >= 500 else 400])


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
