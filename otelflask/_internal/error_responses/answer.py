"""The content of a response to an error or a success, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from werkzeug.exceptions import HTTPException

from otelflask._internal.error_responses.app_errors import AppError, ValidationError, code_of, title_of
from otelflask._internal.guard import safe_text

#: Headers of the exception that belong to its own body, which is not sent.
_OF_THE_BODY = frozenset({"content-type", "content-length"})


@dataclass(frozen=True)
class Answer:
    """An error, or a success, as the client sees it.

    Attributes:
        title: The status's phrase.
        message: A sentence, or another value that the app gives in its place.
        data: What a success returns; for an error, more about it from the app.
        code: The app's code. Without one, an error has its class's, such as ``not_found``, and a success has None.
        has_own_code: Whether the app has given the code.
        errors: A field's name → what is wrong with it.
        type: ``type`` of problem details (RFC 9457).
        headers: Response headers.
        by_app: Whether `message` is the app's. Otherwise otelflask made it.
    """

    status: int
    title: str
    message: Any
    data: Any = None
    code: str | int | None = None
    has_own_code: bool = False
    errors: dict[str, Any] = field(default_factory=dict)
    type: str = "about:blank"
    headers: list[tuple[str, str]] = field(default_factory=list)
    by_app: bool = False

    @property
    def success(self) -> bool:
        """Whether it is no error."""
        return self.status < 400


def answer_of(error: HTTPException | AppError, environ: dict[str, Any] | None = None) -> Answer:
    """The answer to an exception.

    Args:
        error: The exception.
        environ: The WSGI environ of the request.
    """
    if isinstance(error, AppError):
        return Answer(
            int(error.status),
            title_of(error.status),
            error.message,
            error.details,
            error.code if error.status >= 400 or error.has_own_code else None,
            error.has_own_code,
            error.fields if isinstance(error, ValidationError) else {},
            error.type,
            [(name, value) for name, value in error.headers.items() if name.lower() not in _OF_THE_BODY],
            by_app=True,
        )
    status = error.code or 500
    headers = [(name, value) for name, value in error.get_headers(environ) if name.lower() not in _OF_THE_BODY]
    # An exception class may have a name of its own, such as one for 507.
    title = error.name if error.name != "Unknown Error" else title_of(status)
    # Werkzeug shows any value as text. A value that JSON knows stays as it is.
    description: Any = error.description or title
    message: Any = description if isinstance(description, (str, dict, list, int, float)) else safe_text(description)
    return Answer(status, title, message, code=code_of(title), headers=headers)
