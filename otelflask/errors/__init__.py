"""Errors: what is raised, and what the client is answered."""

from otelflask.errors.answers import created, deleted, success, updated
from otelflask.errors.exceptions import (
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
from otelflask.errors.problem import Problem
from otelflask.errors.rendering import answer_errors_with

__all__ = [
    "AppError",
    "AuthenticationError",
    "AuthorizationError",
    "BadRequestError",
    "ConflictError",
    "ExternalServiceError",
    "ExternalTimeoutError",
    "NotFoundError",
    "Problem",
    "RateLimitError",
    "ServiceUnavailableError",
    "ValidationError",
    "answer_errors_with",
    "created",
    "deleted",
    "success",
    "updated",
]
