"""The business code: a route for each class of the catalogue, and two that fail otherwise."""

from typing import NoReturn

from flask import Blueprint, abort

from .exceptions import (
    AuthFailed,
    DeleteSuccess,
    Forbidden,
    NotFound,
    ParameterException,
    ServerError,
    Success,
    UpdateSuccess,
)

main = Blueprint("main", __name__)


@main.get("/success")
def success() -> NoReturn:
    """Create something."""
    raise Success


@main.get("/deleted")
def deleted() -> NoReturn:
    """Delete something."""
    raise DeleteSuccess


@main.get("/updated")
def updated() -> NoReturn:
    """Update something."""
    raise UpdateSuccess


@main.get("/server-error")
def server_error() -> NoReturn:
    """Fail."""
    raise ServerError


@main.get("/parameter")
def parameter() -> NoReturn:
    """Complain about a parameter."""
    raise ParameterException


@main.get("/not-found")
def not_found() -> NoReturn:
    """Find nothing."""
    raise NotFound


@main.get("/forbidden")
def forbidden() -> NoReturn:
    """Refuse."""
    raise Forbidden


@main.get("/auth")
def auth() -> NoReturn:
    """Ask for a login."""
    raise AuthFailed(headers={"WWW-Authenticate": "Bearer"})


@main.get("/crash")
def crash() -> str:
    """Divide by nothing."""
    return str(1 / 0)


@main.get("/abort/<int:code>")
def abort_with(code: int) -> NoReturn:
    """Abort with Werkzeug's own exception."""
    abort(code)
