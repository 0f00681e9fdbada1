"""Exceptions that say what the client is answered; raise one, or a class of your own, anywhere below a view."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar


class AppError(Exception):
    """An error whose message is meant for the client.

    In: the message (default: the status's phrase); optionally, instead of
    what the class says, the HTTP `status`, the application's stable `code`
    that clients switch on (text or number), `details` that can be JSON, and
    response `headers`. Raises ValueError for a status outside of 400 to 599.
    """

    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    code: str | int = "internal_error"
    #: ``type`` of the problem details (RFC 9457, 3.1.1): a URI that explains this kind of problem.
    type: ClassVar[str] = "about:blank"

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
            self.status = status
        if not 400 <= self.status <= 599:
            raise ValueError(f"status is {self.status}; allowed are 400 to 599")
        if code is not None:
            self.code = code
        self.message = message if message is not None else title_of(self.status)
        self.details = details
        self.headers = dict(headers or {})
        super().__init__(self.message)


class BadRequestError(AppError):
    """The request cannot be understood."""

    status = HTTPStatus.BAD_REQUEST
    code = "bad_request"


class ValidationError(AppError):
    """What was sent is well formed and not allowed; `fields` maps each name to what is wrong with it."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "validation_failed"

    def __init__(self, message: str | None = None, *, fields: Mapping[str, Any] | None = None, **options: Any) -> None:
        super().__init__(message, **options)
        self.fields = dict(fields or {})


class AuthenticationError(AppError):
    """Nobody is logged in, or the credentials are wrong."""

    status = HTTPStatus.UNAUTHORIZED
    code = "authentication_required"


class AuthorizationError(AppError):
    """Whoever is logged in may not do this."""

    status = HTTPStatus.FORBIDDEN
    code = "not_allowed"


class NotFoundError(AppError):
    """What was asked for does not exist."""

    status = HTTPStatus.NOT_FOUND
    code = "not_found"


class ConflictError(AppError):
    """What is asked for contradicts what is there."""

    status = HTTPStatus.CONFLICT
    code = "conflict"


class _RetryableError(AppError):
    """An error that may pass: `retry_after` in seconds becomes the Retry-After header (RFC 9110, 10.2.3)."""

    def __init__(self, message: str | None = None, *, retry_after: float | None = None, **options: Any) -> None:
        super().__init__(message, **options)
        if retry_after is not None:
            # Whole seconds, never too early.
            self.headers.setdefault("Retry-After", str(max(0, -int(-retry_after // 1))))


class RateLimitError(_RetryableError):
    """Too many requests; `retry_after` seconds say when the next is welcome."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many_requests"


class ExternalServiceError(AppError):
    """A service that this one asked answered wrongly."""

    status = HTTPStatus.BAD_GATEWAY
    code = "external_service_failed"


class ServiceUnavailableError(_RetryableError):
    """The service cannot answer now; `retry_after` seconds say when it may."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "service_unavailable"


class ExternalTimeoutError(AppError):
    """A service that this one asked did not answer in time."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    code = "external_service_timeout"


def title_of(status: int) -> str:
    """The phrase of a status; of its class where the code is not a standard one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Server Error" if status >= 500 else "Client Error"


# Their names as users import them, and as telemetry has them in `exception.type`.
for _kind in [AppError, *AppError.__subclasses__(), *_RetryableError.__subclasses__()]:
    _kind.__module__ = "otelflask.errors.exceptions"
