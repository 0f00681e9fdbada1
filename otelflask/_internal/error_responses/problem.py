"""The content of an error response, whatever its format."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from werkzeug.exceptions import HTTPException

from otelflask._internal.error_responses.app_errors import AppError, ValidationError, title_of
from otelflask._internal.guard import safe_text

#: Headers of the exception that belong to its own body, which is not sent.
_OF_THE_BODY = frozenset({"content-type", "content-length"})


@dataclass(frozen=True)
class Problem:
    """An error as the client sees it.

    Attributes:
        detail: A sentence, or another value that the app gives in its place.
        code: The app's error code; for exceptions of Werkzeug the status's phrase, such as ``not_found``.
        errors: A field's name → what is wrong with it.
        details: More about the error, from the app.
        headers: Response headers.
        by_app: Whether `detail` is a message of the app. Otherwise otelflask made it.
    """

    status: int
    title: str
    detail: Any
    type: str = "about:blank"
    code: str | int = "error"
    errors: dict[str, Any] = field(default_factory=dict)
    details: Any = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    by_app: bool = False


def problem_of(error: HTTPException | AppError, environ: dict[str, Any] | None = None) -> Problem:
    """The problem of an exception.

    Args:
        error: The exception.
        environ: The WSGI environ of the request.
    """
    if isinstance(error, AppError):
        return Problem(
            int(error.status),
            title_of(error.status),
            error.message,
            error.type,
            error.code,
            error.fields if isinstance(error, ValidationError) else {},
            error.details,
            [(name, value) for name, value in error.headers.items() if name.lower() not in _OF_THE_BODY],
            by_app=True,
        )
    status = error.code or 500
    headers = [(name, value) for name, value in error.get_headers(environ) if name.lower() not in _OF_THE_BODY]
    # An exception class may have a name of its own, such as one for 507.
    title = error.name if error.name != "Unknown Error" else title_of(status)
    # Werkzeug shows any value as text. A value that JSON knows stays as it is.
    description: Any = error.description or title
    detail: Any = description if isinstance(description, (str, dict, list, int, float)) else safe_text(description)
    return Problem(status, title, detail, code=_code_of(title), headers=headers)


def _code_of(title: str) -> str:
    """The default code: the status's phrase, such as ``not_found``."""
    return "_".join(re.findall(r"[a-z0-9]+", title.lower().replace("'", "")))
