"""The exceptions of `otelflask.errors`, under the name that telemetry has for them in `exception.type`."""

from otelflask._internal.error_responses.app_errors import (
    AppError,
    AuthenticationError,
    AuthorizationError,
    BadRequestError,
    ConflictError,
    ExternalServiceError,
    ExternalTimeoutError,
    NotFoundError,
    RateLimitError,
    ServiceUnavailableError,
    ValidationError,
)

__all__ = [
    "AppError",
    "AuthenticationError",
    "AuthorizationError",
    "BadRequestError",
    "ConflictError",
    "ExternalServiceError",
    "ExternalTimeoutError",
    "NotFoundError",
    "RateLimitError",
    "ServiceUnavailableError",
    "ValidationError",
]
