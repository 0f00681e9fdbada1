"""Routes that fail, each in its own way."""

from __future__ import annotations

import builtins
import linecache
from typing import Any

from flask import Flask, Response, request

from otelflask._internal.breaker.breaker import CircuitBreaker

#: Stays open for the rest of a recording.
payments = CircuitBreaker("payments", failure_threshold=2, reset_timeout=3600.0, expected_exception=ConnectionError)


class StockError(Exception):
    """An error of the app's own that is no AppError."""


class UnspeakableError(Exception):
    """Has no text: its methods raise."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class SeveralError(Exception):
    """Has members, as an ExceptionGroup has."""

    def __init__(self, message: str, exceptions: list[Exception]) -> None:
        super().__init__(message)
        self.exceptions = tuple(exceptions)


class AnsweredError(ValueError):
    """Answered by the app's errorhandler, with this status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def add(app: Flask) -> None:
    """Add the routes."""
    _add_unhandled(app)
    _add_shapes(app)
    _add_handled(app)
    _add_hooks(app)


def _add_unhandled(app: Flask) -> None:
    @app.get("/boom")
    def boom() -> str:
        lamp = 7
        return take(lamp, wanted=3)

    @app.get("/chained")
    def chained() -> str:
        try:
            return take(1, wanted=1)
        except StockError as error:
            raise LookupError("no lamp for you") from error

    @app.get("/context")
    def context() -> str:
        try:
            return {"shelf": "upper"}["lamp"]
        except KeyError:
            raise StockError("while looking for a lamp")  # noqa: B904

    @app.get("/secrets")
    def secrets() -> str:
        password = "hunter2-of-the-app"
        card = {"number": "4111 1111 1111 1111", "api_key": "sk-0123456789abcdef"}
        raise StockError(f"password={password} at postgresql://shop:s3cret@db.example/shop, {len(card)} values")

    @app.get("/api/boom")
    def api_boom() -> str:
        raise StockError("of the API")


def take(lamp: int, wanted: int) -> str:
    """Fail, two frames deep."""
    left = {lamp: 0}
    if left[lamp] < wanted:
        raise StockError(f"lamp {lamp}: {wanted} wanted, {left[lamp]} left")
    return "taken"


def _add_shapes(app: Flask) -> None:
    @app.get("/group")
    def group() -> str:
        members = [_caught(ValueError("first")), _caught(StockError("second"))]
        # Python 3.10 has no ExceptionGroup.
        raise getattr(builtins, "ExceptionGroup", SeveralError)("several at once", members)

    @app.get("/several")
    def several() -> str:
        raise SeveralError("several of the app's own", [ValueError("one"), TypeError("two")])

    @app.get("/recursion")
    def recursion() -> str:
        return str(_depths()["down"](300, StockError))

    @app.get("/unspeakable")
    def unspeakable() -> str:
        raise UnspeakableError

    @app.get("/long-message")
    def long_message() -> str:
        raise StockError("lamp " * 4_000)


def _caught(error: Exception) -> Exception:
    """The exception with a traceback."""
    try:
        raise error
    except Exception as caught:
        return caught


#: Short, so that no stack is cut: the cut depends on the length of the checkout's path.
_DEPTHS_FILE = "/d.py"
_DEPTHS = """\
def down(n, error):
    if n:
        down(n - 1, error)
    raise error("at the bottom")
"""


def _depths() -> dict[str, Any]:
    """A module with a recursion, with the same path in any checkout."""
    module: dict[str, Any] = {"__name__": "d"}
    linecache.cache[_DEPTHS_FILE] = (len(_DEPTHS), None, _DEPTHS.splitlines(keepends=True), _DEPTHS_FILE)
    exec(compile(_DEPTHS, _DEPTHS_FILE, "exec"), module)
    return module


def _add_handled(app: Flask) -> None:
    @app.errorhandler(AnsweredError)
    def answered(error: AnsweredError) -> tuple[str, int]:
        return f"answered: {error}", error.status

    @app.get("/answered/<int:status>")
    def answer(status: int) -> str:
        if status < 500:
            raise AnsweredError("wrong value", status)
        raise AnsweredError("broken value", status)

    @app.get("/payment")
    def payment() -> str:
        with payments.calling():
            raise ConnectionError("the payment service is away")


def _add_hooks(app: Flask) -> None:
    def fails(where: str) -> bool:
        return request.headers.get("X-Fails") == where

    @app.before_request
    def before() -> None:
        if fails("before"):
            raise StockError("before the request")

    @app.after_request
    def after(response: Response) -> Response:
        if fails("after"):
            raise StockError("after the request")
        return response

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        if fails("teardown"):
            raise StockError("in the teardown")
