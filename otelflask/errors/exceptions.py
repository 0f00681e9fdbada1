"""The module of the exceptions of `otelflask.errors`. Import them from there.

``exception.type`` contains this path, such as ``otelflask.errors.exceptions.NotFoundError``.
"""

# `typing.get_type_hints` looks up annotations in the module that a class names as its own: this one.
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
