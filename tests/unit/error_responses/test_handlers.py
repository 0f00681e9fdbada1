"""Which handler answers: the app's always, in Flask's order; ours at the end."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from werkzeug.exceptions import BadRequestKeyError, HTTPException, InternalServerError, NotFound

import otelflask
from otelflask import errors
from otelflask.testing import CapturedTelemetry
from tests.unit.conftest import Make


class LampError(errors.NotFoundError):
    code = "no_lamp"


def _init(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        (HTTPException, NotFound),
        (Exception, NotFound),
        (Exception, RuntimeError),
        (Exception, errors.ConflictError),
        (404, NotFound),
        (404, errors.NotFoundError),
        (500, RuntimeError),
        (errors.AppError, errors.ConflictError),
        (LookupError, KeyError),
    ],
)
def test_the_users_handler_wins_registered_before_or_after_init(
    make: Make, telemetry: CapturedTelemetry, when: str, kind: Any, raised: type[Exception]
) -> None:
    app = make(raised, init=False)
    if when == "after":
        _init(app, telemetry)
    app.register_error_handler(kind, lambda error: ("the app's own", 418))
    if when == "before":
        _init(app, telemetry)
    answer = app.test_client().get("/x")
    assert (answer.status_code, answer.text) == (418, "the app's own")


def test_code_goes_before_class(make: Make) -> None:
    app = make(NotFound)
    app.register_error_handler(HTTPException, lambda error: "class")
    app.register_error_handler(404, lambda error: "code")
    assert app.test_client().get("/x").text == "code"


def test_code_goes_before_class_for_our_exceptions_too(make: Make) -> None:
    app = make(LampError("No lamp."))
    app.register_error_handler(errors.AppError, lambda error: "class")
    app.register_error_handler(404, lambda error: f"code {error.code} {error.description}")
    assert app.test_client().get("/x").text == "code 404 No lamp."


def test_the_most_specific_class_goes_first(make: Make) -> None:
    app = make(LampError)
    for kind in (Exception, errors.AppError, LampError, errors.NotFoundError):
        app.register_error_handler(kind, lambda error, kind=kind: kind.__name__)
    assert app.test_client().get("/x").text == "LampError"


def test_a_blueprint_goes_before_the_app(make: Make) -> None:
    app = make(lambda: None)
    blueprint = flask.Blueprint("shop", __name__)

    @blueprint.get("/lamp")
    def lamp() -> str:
        raise LampError

    blueprint.register_error_handler(errors.AppError, lambda error: "blueprint")
    app.register_error_handler(errors.AppError, lambda error: "app")
    app.register_blueprint(blueprint)
    assert app.test_client().get("/lamp").text == "blueprint"


def test_a_500_handler_sees_the_original_exception(make: Make) -> None:
    app = make(RuntimeError("why"))
    seen: list[Any] = []

    @app.errorhandler(500)
    def broken(error: InternalServerError) -> tuple[str, int]:
        seen.append(error.original_exception)
        return "sorry", 500

    assert app.test_client().get("/x").text == "sorry"
    assert repr(seen) == "[RuntimeError('why')]"


def test_a_handler_that_raises_an_error_of_ours_is_a_500(make: Make) -> None:
    # As with Flask: an exception of a handler is unhandled.
    app = make(KeyError)

    @app.errorhandler(KeyError)
    def translate(error: KeyError) -> str:
        raise errors.NotFoundError("no such lamp") from error

    assert app.test_client().get("/api/x").status_code == 500


@pytest.mark.parametrize("option", [{"TESTING": True}, {"DEBUG": True}, {"PROPAGATE_EXCEPTIONS": True}])
def test_a_debugger_sees_the_exception_and_telemetry_is_complete(
    make: Make, telemetry: CapturedTelemetry, option: dict[str, Any]
) -> None:
    app = make(RuntimeError("for the debugger"))
    app.config.update(option)
    if "DEBUG" in option:
        app.debug = True
    with pytest.raises(RuntimeError, match="for the debugger"):
        app.test_client().get("/x")
    (span,) = telemetry.spans
    assert span.attributes["error.type"] == "RuntimeError"
    assert [event.name for event in span.events] == ["exception"]


def test_errors_of_ours_are_answered_in_debug_mode_too(make: Make) -> None:
    app = make(errors.ConflictError("Twice."))
    app.debug = True
    answer = app.test_client().get("/api/x")
    assert answer.status_code == 409


@pytest.mark.parametrize(
    ("raised", "status", "error_type"),
    [(errors.NotFoundError, 404, None), (errors.ServiceUnavailableError, 503, "ServiceUnavailableError")],
)
def test_the_span_of_an_answered_error(
    make: Make, telemetry: CapturedTelemetry, raised: type[Exception], status: int, error_type: str | None
) -> None:
    make(raised).test_client().get("/x")
    (span,) = telemetry.spans
    assert span.attributes["http.response.status_code"] == status
    assert str(span.attributes.get("error.type", "")).rpartition(".")[2] == (error_type or "")


def test_an_async_handler_of_the_users_is_awaited(make: Make) -> None:
    app = make(errors.NotFoundError)

    async def handler(error: Exception) -> str:
        return "awaited"

    app.register_error_handler(404, handler)
    assert app.test_client().get("/x").text == "awaited"


@pytest.mark.parametrize("trap", ["TRAP_HTTP_EXCEPTIONS", "TRAP_BAD_REQUEST_ERRORS", "DEBUG"])
def test_what_flask_is_told_to_trap_is_raised_as_without_us(make: Make, trap: str) -> None:
    for init in (False, True):
        app = make(lambda: None, init=init)
        app.config[trap] = True
        app.config["PROPAGATE_EXCEPTIONS"] = True
        app.view_functions["api_x"] = lambda: flask.request.form["nope"]
        with pytest.raises(BadRequestKeyError):
            app.test_client().post("/api/x")


def test_a_handler_of_http_exceptions_takes_an_error_of_ours(make: Make) -> None:
    app = make(errors.RateLimitError("Slower.", retry_after=7))

    @app.errorhandler(HTTPException)
    def teapot(error: HTTPException) -> Any:
        assert isinstance(error.original_exception, errors.RateLimitError)  # type: ignore[attr-defined]
        response = error.get_response()
        response.status_code = 418
        return response

    answer = app.test_client().get("/x")
    assert answer.status_code == 418
    assert answer.headers["Retry-After"] == "7"
    assert "Slower." in answer.text


@pytest.mark.parametrize("status", [405, 416, 507])
def test_the_http_exception_of_an_error_of_ours_has_its_message(make: Make, status: int) -> None:
    app = make(errors.AppError("Not this way.", status=status))
    app.register_error_handler(HTTPException, lambda error: (error.description, error.code))
    answer = app.test_client().get("/x")
    assert (answer.status_code, answer.text) == (status, "Not this way.")


@pytest.mark.parametrize("handled", [False, True])
def test_the_requests_telemetry_says_why_a_client_got_an_error(
    make: Make, telemetry: CapturedTelemetry, handled: bool
) -> None:
    app = make(errors.ConflictError("password=hunter2 is taken", code=1006))
    if handled:
        app.register_error_handler(errors.ConflictError, lambda error: ("mine", 409))
    app.test_client().get("/x")
    (record,) = [record for record in telemetry.logs if record.event_name == "http.server.request"]
    for found in (telemetry.span("GET /x").attributes, record.attributes):
        assert found is not None
        assert found["otelflask.error.code"] == 1006
        assert "is taken" in str(found["otelflask.error.message"])


def test_a_success_and_another_error_have_no_such_code(make: Make, telemetry: CapturedTelemetry) -> None:
    make(errors.AppError(status=201)).test_client().get("/x")
    make(LookupError).test_client().get("/x")
    assert not [span for span in telemetry.spans if "otelflask.error.code" in (span.attributes or {})]
