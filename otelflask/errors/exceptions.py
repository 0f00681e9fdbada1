"""The exceptions of `otelflask.errors`, under the name that telemetry has for them in `exception.type`."""

# What their annotations name: `typing.get_type_hints` looks for it in the module that they say they are of.
from collections.abc import Mapping  # noqa: F401
from typing import Any, ClassVar  # noqa: F401

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
