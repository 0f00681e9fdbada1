"""An exception that makes its own response makes the same one as in stock Flask, byte for byte."""

from __future__ import annotations

import functools
import json
from typing import Any

import flask
import pytest
from opentelemetry.trace import StatusCode
from werkzeug.exceptions import BadRequest, HTTPException, NotFound

import otelflask
from otelflask import errors
from otelflask.testing import CapturedTelemetry
from tests.unit.conftest import Make

#: Headers that otelflask adds to every response.
OURS = ("X-Request-ID", "traceresponse")


class APIException(HTTPException):
    """As tutorials write it."""

    code = 500
    msg = "sorry, we made a mistake"
    error_code = 999

    def __init__(self, msg: str | None = None, code: int | None = None, error_code: int | None = None) -> None:
        self.code = code or type(self).code
        self.msg = msg or self.msg
        self.error_code = error_code or self.error_code
        super().__init__(self.msg, None)

    def get_body(self, environ: Any = None, scope: Any = None) -> str:
        request = f"{flask.request.method} {flask.request.path}"
        return json.dumps({"msg": self.msg, "error_code": self.error_code, "request": request})

    def get_headers(self, environ: Any = None, scope: Any = None) -> list[tuple[str, str]]:
        return [("Content-Type", "application/json")]


class Created(APIException):
    code = 201
    msg = "created"
    error_code = 0


class Deleted(Created):
    code = 202


class OnlyBody(NotFound):
    def get_body(self, environ: Any = None, scope: Any = None) -> str:
        return "<p>nothing here"


class OnlyDescription(NotFound):
    def get_description(self, environ: Any = None, scope: Any = None) -> str:
        return "<p>nothing <em>here</em></p>"


class OnlyHeaders(BadRequest):
    def get_headers(self, environ: Any = None, scope: Any = None) -> list[tuple[str, str]]:
        return [*super().get_headers(environ, scope), ("X-Why", "because")]


class OnlyResponse(HTTPException):
    code = 503

    def get_response(self, environ: Any = None, scope: Any = None) -> Any:
        return flask.Response("later", 503, {"Retry-After": "7"})


class WithoutCode(HTTPException):
    def get_response(self, environ: Any = None, scope: Any = None) -> Any:
        return flask.jsonify(ok=True), 200

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return flask.jsonify(ok=True)(environ, start_response)


class Called(HTTPException):
    code = 500

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return flask.Response("called", 402)(environ, start_response)


class WithoutInit(APIException):
    def __init__(self) -> None:
        # Not Werkzeug's, which sets `response`.
        self.code = 422

    def get_response(self, environ: Any = None, scope: Any = None) -> Any:
        return flask.Response("own", 422)


class Wrapped(NotFound):
    @functools.wraps(NotFound.get_body)
    def get_body(self, environ: Any = None, scope: Any = None) -> str:
        return "wrapped"


def of_instance() -> HTTPException:
    error = NotFound()
    error.get_body = lambda environ=None, scope=None: "of this one"  # type: ignore[method-assign]
    return error


ERRORS: list[Any] = [
    APIException,
    APIException("wrong", 400, 1001),
    Created,
    Deleted,
    OnlyBody,
    OnlyDescription,
    OnlyHeaders,
    OnlyResponse,
    WithoutCode,
    Called,
    WithoutInit,
    Wrapped,
    of_instance(),
    NotFound(response=flask.Response("mine", 410)),
]


def answer(app: flask.Flask, path: str, method: str, accept: str) -> tuple[int, list[tuple[str, str]], bytes]:
    response = app.test_client().open(path, method=method, headers={"Accept": accept})
    headers = [(name, value) for name, value in response.headers if name not in OURS]
    return response.status_code, headers, response.data


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: getattr(error, "__name__", type(error).__name__))
@pytest.mark.parametrize("format", ["problem", "envelope"])
def test_an_exception_with_an_answer_of_its_own_answers_as_in_stock_flask(
    make: Make, telemetry: CapturedTelemetry, error: Any, format: str
) -> None:
    stock, ours = make(error, init=False), make(error, error_format=format)
    for path, method in (("/x", "GET"), ("/x", "HEAD"), ("/api/x", "POST")):
        for accept in ("*/*", "text/html", "application/json"):
            assert answer(ours, path, method, accept) == answer(stock, path, method, accept)


@pytest.mark.parametrize("error", [Created, Deleted, WithoutCode])
def test_what_is_raised_to_say_success_is_no_error(make: Make, telemetry: CapturedTelemetry, error: Any) -> None:
    make(error).test_client().get("/x")
    (span,) = telemetry.spans
    assert span.status.status_code is StatusCode.UNSET
    assert not span.events
    assert "error.type" not in (span.attributes or {})
    assert [record.event_name for record in telemetry.logs] == ["http.server.request"]
    assert [record.severity_text for record in telemetry.logs] == ["INFO"]
    assert not telemetry.points("otelflask.errors")


def test_an_own_answer_of_5xx_is_still_seen_as_an_error(make: Make, telemetry: CapturedTelemetry) -> None:
    make(APIException).test_client().get("/x")
    (span,) = telemetry.spans
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "500"


def test_a_code_that_is_no_number_is_left_to_flask(telemetry: CapturedTelemetry) -> None:
    class Odd(HTTPException):
        code = "418"  # type: ignore[assignment]

    app = flask.Flask("shop")

    @app.get("/x")
    def view() -> str:
        raise Odd("a teapot")

    stock = answer(app, "/x", "GET", "*/*")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    assert answer(app, "/x", "GET", "*/*") == stock


def test_an_exception_that_flask_is_told_to_trap_is_the_requests_error(
    make: Make, telemetry: CapturedTelemetry
) -> None:
    app = make(NotFound("trapped"))
    app.config["TRAP_HTTP_EXCEPTIONS"] = True
    assert app.test_client().get("/x").status_code == 500
    (span,) = telemetry.spans
    assert [event.name for event in span.events] == ["exception"]


class OwnFlask(flask.Flask):
    """Makes JSON of each HTTP exception that no handler takes, after Flask's search."""

    def handle_http_exception(self, e: HTTPException) -> Any:
        found = super().handle_http_exception(e)
        return (flask.jsonify(mine=e.code), e.code) if isinstance(found, HTTPException) else found


def test_an_app_that_handles_http_exceptions_itself_answers_as_in_stock_flask(telemetry: CapturedTelemetry) -> None:
    app = OwnFlask("shop")
    stock = answer(app, "/missing", "GET", "*/*")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    assert answer(app, "/missing", "GET", "*/*") == stock
    assert stock[0] == 404


@pytest.mark.parametrize("description", [ValueError("x"), {1, 2}, b"bytes", object()])
def test_a_description_that_is_no_text_keeps_its_status(make: Make, description: Any) -> None:
    app = make(BadRequest(description))
    assert app.test_client().get("/x").status_code == 400
    assert app.test_client().get("/x", headers={"Accept": "text/html"}).status_code == 400


def test_an_answer_that_cannot_be_shown_is_the_stock_one(make: Make) -> None:
    unshowable = {1: BadRequest}
    stock, ours = make(BadRequest(unshowable), init=False), make(BadRequest(unshowable))
    assert answer(ours, "/x", "GET", "application/json") == answer(stock, "/x", "GET", "application/json")
    failing = make(errors.ConflictError("taken", details=object()))
    assert failing.test_client().get("/x").status_code == 409


def test_flasks_handlers_may_be_called_by_the_names_of_their_arguments(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    with app.test_request_context("/x"):
        assert app.handle_user_exception(e=NotFound()) is not None
