"""The one handler of everything that is raised."""

import logging

from flask import Flask, request
from werkzeug.exceptions import HTTPException

from .exceptions import APIException, ServerError


def init_app(app: Flask) -> None:
    """Register the handler."""
    app.logger.setLevel(logging.INFO)

    @app.errorhandler(Exception)
    def handle_exception(error: Exception) -> HTTPException:
        code = (error.code or 500) if isinstance(error, HTTPException) else 500
        # A success is raised too: only the server's own failures are errors.
        level = logging.ERROR if code >= 500 else logging.INFO
        app.logger.log(level, "%s %s: %r", request.method, request.path, error, exc_info=code >= 500)
        if isinstance(error, APIException):
            return error
        if isinstance(error, HTTPException):
            return APIException(error.description, code, 1007)
        if app.debug:
            raise error
        return ServerError()
