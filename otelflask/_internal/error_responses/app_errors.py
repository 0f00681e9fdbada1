"""Exceptions with a message for the client. Raise one, or a subclass, anywhere below a view."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

_PUBLIC_MODULE = "otelflask.errors.exceptions"


class AppError(Exception):
    """An error whose message is meant for the client.

    A subclass may set ``message``, ``status`` and ``code`` as class attributes. One with a status from 200
    to 299 is an answer that is raised, and no error.

    Args:
        message: The message (default: the class's, else the status's phrase).
        status: The HTTP status, in place of the class's.
        code: The app's stable error code, text or number, for programs, in place of the class's.
        details: More about the error; anything that can be JSON.
        headers: Response headers.

    Raises:
        ValueError: The status is not allowed.
    """

    message: str = ""
    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    code: str | int = "internal_error"
    #: ``type`` of the problem details (RFC 9457, 3.1.1): a URI that explains this kind of problem.
    type: ClassVar[str] = "about:blank"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _check_status(cls.status, f"{cls.__name__}.status")
        code = cls.__dict__.get("code")
        if type(code) is int and 400 <= code <= 599 and cls.status == AppError.status != code:
            warnings.warn(
                f"{cls.__name__}.code is {code}, and its HTTP status is {cls.status}: `code` is for programs; set "
                f"`status = {code}` for the status",
                stacklevel=2,
            )

    def __init__(
        self,
        message: str | None = None,
        *,
        status: int | None = None,
        code: str | int | None = None,
        details: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if status is not None:
            _check_status(status, "status")
            self.status = status
        self.has_own_code = code is not None or not _is_ours(self, "code")
        if code is not None:
            self.code = code
        elif status is not None and not self.has_own_code and status != type(self).status:
            self.code = code_of(title_of(status))
        self.message = message if message is not None else self.message or title_of(self.status)
        self.details = details
        self.headers = dict(headers or {})
        super().__init__(self.message)


def _check_status(status: Any, name: str) -> None:
    if not isinstance(status, int) or not (200 <= status <= 299 or 400 <= status <= 599):
        raise ValueError(f"{name} is {status!r}; allowed are 400 to 599, and 200 to 299 for a success")


def _is_ours(error: AppError, name: str) -> bool:
    """Whether a class attribute comes from a class of otelflask."""
    owner = next(item for item in type(error).__mro__ if name in item.__dict__)
    return owner.__module__ == _PUBLIC_MODULE


class BadRequestError(AppError):
    """The request cannot be understood."""

    status = HTTPStatus.BAD_REQUEST
    code = "bad_request"


class ValidationError(AppError):
    """The request is well formed, but its values are not valid.

    Args:
        message: The message (default: the class's, else the status's phrase).
        field: The name of the field that the message is about.
        fields: A field's name → what is wrong with it.
        **options: Arguments of `AppError`.
    """

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "validation_failed"

    def __init__(
        self,
        message: str | None = None,
        field: str | None = None,
        *,
        fields: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(message, **options)
        self.fields = dict(fields or {})
        if field is not None:
            self.fields.setdefault(field, self.message)


class AuthenticationError(AppError):
    """Nobody is logged in, or the credentials are wrong."""

    status = HTTPStatus.UNAUTHORIZED
    code = "authentication_required"


class AuthorizationError(AppError):
    """The user may not do this."""

    status = HTTPStatus.FORBIDDEN
    code = "not_allowed"


class NotFoundError(AppError):
    """The requested object does not exist."""

    status = HTTPStatus.NOT_FOUND
    code = "not_found"


class ConflictError(AppError):
    """The request contradicts the current state."""

    status = HTTPStatus.CONFLICT
    code = "conflict"


class _RetryableError(AppError):
    """An error that may pass.

    Args:
        message: The message (default: the class's, else the status's phrase).
        retry_after: Seconds, for the Retry-After header (RFC 9110, 10.2.3).
        **options: Arguments of `AppError`.
    """

    def __init__(self, message: str | None = None, *, retry_after: float | None = None, **options: Any) -> None:
        super().__init__(message, **options)
        if retry_after is not None:
            # Whole seconds, rounded up.
            self.headers.setdefault("Retry-After", str(max(0, -int(-retry_after // 1))))


class RateLimitError(_RetryableError):
    """There were too many requests. `retry_after` is the time in seconds until the next one is accepted."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many_requests"


class ExternalServiceError(AppError):
    """A service that this one called gave a wrong answer."""

    status = HTTPStatus.BAD_GATEWAY
    code = "external_service_failed"


class ServiceUnavailableError(_RetryableError):
    """The service cannot answer now. `retry_after` is the time in seconds until it may."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "service_unavailable"


class ExternalTimeoutError(AppError):
    """A service that this one called did not answer in time."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    code = "external_service_timeout"


def code_of(title: str) -> str:
    """The default code: the status's phrase, such as ``not_found``."""
    return "_".join(re.findall(r"[a-z0-9]+", title.lower().replace("'", "")))


def title_of(status: int) -> str:
    """The phrase of a status; for a code that is not standard, the phrase of its class."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return {2: "Success", 4: "Client Error"}.get(status // 100, "Server Error")


# The public names, which telemetry has in `exception.type`.
for _kind in [AppError, *AppError.__subclasses__(), *_RetryableError.__subclasses__()]:
    _kind.__module__ = _PUBLIC_MODULE
