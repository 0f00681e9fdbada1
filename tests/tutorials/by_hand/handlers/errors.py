"""The handlers, of the blueprint and of the app."""

from flask import Flask, jsonify
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound

from .exceptions import InsufficientStorage, UnknownProductError, UnknownSizeError
from .views import bp


def answer(handler: str, error: str | None, code: int) -> ResponseReturnValue:
    """Answer, and say which handler does."""
    return jsonify(handler=handler, error=error, code=code), code


@bp.errorhandler(403)
@bp.errorhandler(NotFound)
def handle_in_blueprint(error: HTTPException) -> ResponseReturnValue:
    """Answer for the blueprint's views; a URL without a view is none of them."""
    return answer("blueprint", error.description, error.code or 500)


def handle_http(error: HTTPException) -> ResponseReturnValue:
    """Answer for all other views and URLs."""
    return answer("app", error.description, error.code or 500)


def handle_crash(error: InternalServerError) -> ResponseReturnValue:
    """Answer for what nobody has foreseen."""
    return answer("app", "Something went wrong.", 500)


def init_app(app: Flask) -> None:
    """Register the app's handlers, by decorator or by call, by class or by code."""

    @app.errorhandler(UnknownSizeError)
    def handle_size(error: UnknownSizeError) -> ResponseReturnValue:
        return answer("child", f"no size {error.args[0]}", 404)

    @app.errorhandler(UnknownProductError)
    def handle_product(error: UnknownProductError) -> ResponseReturnValue:
        return answer("parent", f"no product {error.args[0]}", 404)

    app.register_error_handler(403, handle_http)
    app.register_error_handler(NotFound, handle_http)
    app.register_error_handler(InsufficientStorage, handle_http)
    app.register_error_handler(InternalServerError, handle_crash)
