"""Extensions of Flask that answer exceptions in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
import flask_restful
import flask_restx
import pytest
from opentelemetry.trace import StatusCode

import otelflask
from otelflask._internal import event_names
from otelflask.testing import CapturedTelemetry

EXTENSIONS = {"flask-restx": flask_restx, "flask-restful": flask_restful}


class TakenError(Exception):
    pass


@pytest.fixture(params=EXTENSIONS)
def extension(request: pytest.FixtureRequest) -> Any:
    return EXTENSIONS[request.param]


@pytest.fixture(params=["init before", "init after"])
def client(request: pytest.FixtureRequest, extension: Any, telemetry: CapturedTelemetry) -> flask.testing.FlaskClient:
    app = flask.Flask("shop")

    def init() -> None:
        otelflask.init(app, runtime_metrics=False, **telemetry.providers)

    if request.param == "init before":
        init()
    api = extension.Api(app)

    class Lamp(extension.Resource):
        def get(self, kind: str) -> str:
            if kind == "busy":
                flask.abort(503)
            if kind == "none":
                flask.abort(404)
            raise LookupError("no lamp")

    api.add_resource(Lamp, "/lamps/<kind>")
    if request.param == "init after":
        init()
    return app.test_client()


def reports_of(telemetry: CapturedTelemetry) -> list[tuple[str, bool]]:
    return [
        (record.attributes["exception.type"], record.attributes["otelflask.error.handled"])
        for record in telemetry.logs
        if record.event_name == event_names.EXCEPTION
    ]


def test_an_unhandled_exception_is_on_the_span_and_reported(
    client: flask.testing.FlaskClient, telemetry: CapturedTelemetry
) -> None:
    assert client.get("/lamps/broken").status_code == 500
    span = telemetry.span("GET /lamps/<kind>")
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "LookupError")
    (event,) = span.events
    assert event.attributes["exception.message"] == "no lamp"
    assert reports_of(telemetry) == [("LookupError", False)]


def test_an_answer_that_is_raised_is_no_error(client: flask.testing.FlaskClient, telemetry: CapturedTelemetry) -> None:
    assert client.get("/lamps/none").status_code == 404
    span = telemetry.span("GET /lamps/<kind>")
    assert span.status.status_code is StatusCode.UNSET
    assert not span.events
    assert reports_of(telemetry) == []


def test_an_answer_of_503_that_is_raised_is_a_handled_error(
    client: flask.testing.FlaskClient, telemetry: CapturedTelemetry
) -> None:
    assert client.get("/lamps/busy").status_code == 503
    (event,) = telemetry.span("GET /lamps/<kind>").events
    assert event.attributes["exception.type"] == "werkzeug.exceptions.ServiceUnavailable"
    assert reports_of(telemetry) == [("werkzeug.exceptions.ServiceUnavailable", True)]


def test_an_exception_that_the_extension_handles_is_noted_for_what_it_answers(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    api = flask_restx.Api(app)

    @api.errorhandler(TakenError)
    def taken(error: TakenError) -> tuple[dict[str, str], int]:
        return {"message": "taken"}, 507

    @api.route("/lamps")
    class Lamps(flask_restx.Resource):
        def get(self) -> str:
            raise TakenError("twice")

    assert app.test_client().get("/lamps").status_code == 507
    (event,) = telemetry.span("GET /lamps").events
    assert event.attributes["exception.message"] == "twice"
    assert [handled for _, handled in reports_of(telemetry)] == [True]


def _restful(app: flask.Flask) -> None:
    api = flask_restful.Api(app, errors={"TakenError": {"status": 409, "message": "taken"}})

    class Lamp(flask_restful.Resource):
        def get(self) -> str:
            raise TakenError("twice")

    api.add_resource(Lamp, "/lamps")


def _restx(app: flask.Flask) -> None:
    api = flask_restx.Api(app)

    @api.errorhandler
    def default(error: Exception) -> tuple[dict[str, str], int]:
        return {"message": "taken"}, 409

    @api.route("/lamps")
    class Lamp(flask_restx.Resource):
        def get(self) -> str:
            raise TakenError("twice")


def _view(app: flask.Flask) -> None:
    @app.get("/lamps")
    def lamps() -> tuple[str, int]:
        try:
            raise TakenError("twice")
        except TakenError as error:
            flask.got_request_exception.send(app, exception=error)
        return "taken", 409


@pytest.mark.parametrize("add", [_restful, _restx, _view], ids=["flask-restful", "flask-restx", "a view"])
def test_an_exception_that_becomes_an_answer_is_not_reported_as_unhandled(
    telemetry: CapturedTelemetry, add: Callable[[flask.Flask], None]
) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    add(app)
    assert app.test_client().get("/lamps").status_code == 409
    assert telemetry.span("GET /lamps").status.status_code is StatusCode.UNSET
    # Flask-RESTful logs it at ERROR, before it looks for the answer.
    assert all(handled for _, handled in reports_of(telemetry))


def test_nothing_is_noted_after_the_instrumentation_is_undone(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    flask_restx.Api(app)
    app.test_client().get("/none")
    otelflask.FlaskInstrumentor.uninstrument_app(app)
    assert app.test_client().get("/none").status_code == 404
    assert len(telemetry.spans) == 1
