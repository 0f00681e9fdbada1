"""What is to be said of an error, whatever it is said in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from werkzeug.exceptions import HTTPException

from otelflask._internal.error_responses.app_errors import AppError, ValidationError, title_of
from otelflask._internal.guard import safe_text

#: Of the exception's headers, those that belong to the body which is not sent.
_OF_THE_BODY = frozenset({"content-type", "content-length"})


@dataclass(frozen=True)
class Problem:
    """An error as a client is told of it.

    `detail` is a sentence, or what the app has given in its place, `code` the application's error code (of an
    exception of Werkzeug's the phrase of its status, such as ``not_found``),
    `errors` maps fields to what is wrong with them, `details` is what the app
    adds, `headers` go to the response; `by_app` says that the app itself
    wrote the sentence for its client.
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
    """The problem that an exception stands for. In: the exception, and the request's environ."""
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
    # An exception class may bring a name of its own, such as one for 507.
    title = error.name if error.name != "Unknown Error" else title_of(status)
    # Werkzeug shows anything as text; what JSON knows stays as it is.
    said: Any = error.description or title
    detail: Any = said if isinstance(said, (str, dict, list, int, float)) else safe_text(said)
    return Problem(status, title, detail, code=_code_of(title), headers=headers)


def _code_of(title: str) -> str:
    """A code for what has none of its own: the phrase of its status, such as ``not_found``."""
    return "_".join(re.findall(r"[a-z0-9]+", title.lower().replace("'", "")))
