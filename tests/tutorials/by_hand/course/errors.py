"""The app's exceptions, and the blueprint that answers every error."""

from typing import Any

from flask import Blueprint, current_app, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, InternalServerError

errors_bp = Blueprint("errors", __name__)


class AppException(Exception):
    """An error of the app, with a status code and what the client may know."""

    def __init__(self, message: str, code: int = 500, payload: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.payload = payload


class ValidationError(AppException):
    """A field of the request is wrong."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message, 400, {"field": field})


class AuthenticationError(AppException):
    """Nobody is logged in."""

    def __init__(self, message: str = "请先登录") -> None:
        super().__init__(message, 401)


class AuthorizationError(AppException):
    """The user may not do this."""

    def __init__(self, message: str = "没有权限") -> None:
        super().__init__(message, 403)


def error_response(message: str | None, code: int, details: dict[str, Any] | None = None) -> ResponseReturnValue:
    """Answer with the body that all errors have."""
    body: dict[str, Any] = {"message": message, "code": code}
    if details:
        body["details"] = details
    return jsonify(error=body), code


@errors_bp.app_errorhandler(AppException)
def handle_app_exception(error: AppException) -> ResponseReturnValue:
    """Log the app's own exception with its context, and answer."""
    current_app.logger.error(
        error.message,
        extra={"error_code": error.code, "payload": error.payload, "url": request.url, "method": request.method},
    )
    return error_response(error.message, error.code, error.payload)


@errors_bp.app_errorhandler(HTTPException)
def handle_http_exception(error: HTTPException) -> ResponseReturnValue:
    """Answer with a page where there is one, and with JSON below /api/."""
    code = error.code or 500
    if code in (404, 500) and not request.path.startswith("/api/"):
        return render_template(f"errors/{code}.html"), code
    return error_response(error.description, code)


@errors_bp.app_errorhandler(Exception)
def handle_unexpected(error: Exception) -> ResponseReturnValue:
    """Log the traceback, and tell the client nothing of it."""
    current_app.logger.exception("Unexpected error on %s %s", request.method, request.path)
    return handle_http_exception(InternalServerError("服务器内部错误"))
