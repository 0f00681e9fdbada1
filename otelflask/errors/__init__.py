"""Exceptions to raise in an app, and helpers for success answers."""

# First: under gunicorn and zero code, telemetry starts with the import of Flask, and needs the modules below whole.
import flask as _flask  # noqa: F401

from otelflask._internal.error_responses.answer import Answer
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
from otelflask._internal.error_responses.renderer import answer_errors_with
from otelflask._internal.error_responses.success import created, deleted, success, updated

__all__ = [
    "Answer",
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
    "answer_errors_with",
    "created",
    "deleted",
    "success",
    "updated",
]
