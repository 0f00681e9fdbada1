"""The content and format of error responses."""

from __future__ import annotations

import json
import re
import time
from http import HTTPStatus
from typing import Any

import flask
import pytest
from flask.json.provider import DefaultJSONProvider
from opentelemetry.trace.status import StatusCode
from werkzeug.exceptions import HTTPException, ServiceUnavailable, Unauthorized

import otelflask
from otelflask import errors
from otelflask.testing import CapturedTelemetry
from tests.unit.conftest import Make
from tests.unit.error_responses.asking import AXIOS, BROWSER, get


def test_below_the_path_prefix_errors_are_json_even_for_a_browser(make: Make) -> None:
    app = make(errors.NotFoundError)
    for path in ("/api/x", "/api/nothing-here"):
        answer = get(app, path, BROWSER)
        assert (answer.mimetype, answer.status_code) == ("application/problem+json", 404)
        assert "Accept" not in answer.vary


def test_the_prefixes_are_a_setting(make: Make) -> None:
    app = make(errors.NotFoundError, json_paths="/v1/, /x")
    assert get(app, "/x", BROWSER).mimetype == "application/problem+json"
    assert get(app, "/api/x", BROWSER).mimetype == "text/html"


@pytest.mark.parametrize(("format", "mimetype"), [("json", "application/problem+json"), ("html", "text/html")])
def test_a_blueprints_own_setting_goes_before_path_and_accept(make: Make, format: str, mimetype: str) -> None:
    app = make()
    blueprint = flask.Blueprint("admin", __name__)
    errors.answer_errors_with(blueprint, format)

    @blueprint.get("/api/admin")
    def admin() -> str:
        raise errors.AuthorizationError

    app.register_blueprint(blueprint)
    for accept in (BROWSER, AXIOS):
        assert get(app, "/api/admin", accept).mimetype == mimetype


def test_a_format_that_does_not_exist_is_refused() -> None:
    with pytest.raises(otelflask.SettingError, match="'admin' is 'xml'; allowed are json and html"):
        errors.answer_errors_with(flask.Blueprint("admin", __name__), "xml")


def test_problem_details_hold_everything_a_client_needs(make: Make, telemetry: CapturedTelemetry) -> None:
    app = make(errors.ValidationError("The order is not complete.", fields={"name": "is missing"}, details=[1]))
    answer = app.test_client().post("/api/x", headers={"X-Request-ID": "order-1"})
    (span,) = telemetry.spans
    assert answer.status_code == 422
    assert answer.json == {
        "type": "about:blank",
        "title": HTTPStatus(422).phrase,
        "status": 422,
        "detail": "The order is not complete.",
        "instance": "/api/x",
        "code": "validation_failed",
        "errors": {"name": "is missing"},
        "details": [1],
        "trace_id": f"{span.context.trace_id:032x}",
        "request_id": "order-1",
    }


class Stocked(errors.AppError):
    message, status, code = "in stock", 201, 0


@pytest.mark.parametrize(
    ("error", "body"),
    [
        (errors.ConflictError("There.", code=40901, details={"id": 7}), {"code": 40901, "details": {"id": 7}}),
        (errors.ConflictError("There."), {"code": 409}),
        (
            errors.ValidationError("There.", "name"),
            {"code": 422, "details": {"field": "name", "errors": {"name": "There."}}},
        ),
    ],
)
def test_the_envelope_of_an_error_has_success_error_and_timestamp(
    make: Make, telemetry: CapturedTelemetry, error: errors.AppError, body: dict[str, Any]
) -> None:
    answer = make(error, error_format="envelope").test_client().post("/api/x", headers={"X-Request-ID": "order-1"})
    (span,) = telemetry.spans
    found: dict[str, Any] = json.loads(answer.data)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", found.pop("timestamp"))
    assert (answer.status_code, answer.mimetype) == (error.status, "application/json")
    ids = {"trace_id": f"{span.context.trace_id:032x}", "request_id": "order-1"}
    assert found == {"success": False, "error": {"message": "There.", **body}, **ids}


def test_the_timestamp_can_be_epoch_seconds(make: Make) -> None:
    app = make(RuntimeError("boom"), error_format="envelope", timestamp_format="epoch")
    found = get(app, "/api/x").json
    assert found is not None
    assert isinstance(found["timestamp"], int)
    assert abs(found["timestamp"] - time.time()) < 60


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (errors.ConflictError("There.", code=1006), 409, {"msg": "There.", "error_code": 1006}),
        (RuntimeError("secret"), 500, {"error_code": 500}),
        (Stocked(), 201, {"msg": "in stock", "error_code": 0}),
    ],
)
def test_the_msg_format_has_msg_error_code_and_request_without_the_query(
    make: Make, error: Exception, status: int, body: dict[str, Any]
) -> None:
    answer = get(make(error, error_format="msg"), "/api/x?password=1")
    assert answer.json is not None
    assert answer.status_code == status
    assert {**body, "request": "GET /api/x"}.items() <= answer.json.items()
    assert "secret" not in answer.text


def test_a_raised_success_is_no_error(make: Make, telemetry: CapturedTelemetry) -> None:
    answer = get(make(Stocked(details=[1]), error_format="envelope"), "/api/x")
    assert answer.json is not None
    assert answer.status_code == 201
    assert {"success": True, "message": "in stock", "data": [1], "code": 0}.items() <= answer.json.items()
    (span,) = telemetry.spans
    assert (span.status.status_code, span.events) == (StatusCode.UNSET, ())
    assert not telemetry.points("otelflask.errors")
    assert [record.event_name for record in telemetry.logs] == ["http.server.request"]


def test_a_renderer_of_the_users_makes_the_body(make: Make) -> None:
    def renderer(answer: errors.Answer) -> flask.Response:
        return flask.jsonify(oops=answer.message, code=answer.code)

    answer = get(make(errors.RateLimitError("slow down", retry_after=3), error_renderer=renderer), "/api/x")
    assert (answer.status_code, answer.json) == (429, {"oops": "slow down", "code": "too_many_requests"})
    assert answer.headers["Retry-After"] == "3"


@pytest.mark.parametrize("answer", ["json", "html"])
def test_an_unhandled_error_says_nothing_of_its_cause(make: Make, answer: str) -> None:
    app = make(RuntimeError("password=hunter2"))
    response = get(app, "/x", BROWSER if answer == "html" else AXIOS)
    assert response.status_code == 500
    assert "hunter2" not in response.text
    assert "RuntimeError" not in response.text


@pytest.mark.parametrize("accept", [BROWSER, AXIOS])
def test_headers_of_the_exception_are_kept(make: Make, accept: str) -> None:
    app = make(lambda: None)
    assert set(get(app, "/x", accept, "DELETE").headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}

    def busy() -> None:
        raise ServiceUnavailable(retry_after=17)

    app.view_functions["x"] = busy  # type: ignore[assignment]
    assert get(app, "/x", accept).headers["Retry-After"] == "17"

    def login() -> None:
        from werkzeug.datastructures import WWWAuthenticate

        raise Unauthorized(www_authenticate=WWWAuthenticate("basic", {"realm": "shop"}))

    app.view_functions["x"] = login  # type: ignore[assignment]
    assert "realm=shop" in get(app, "/x", accept).headers["WWW-Authenticate"].replace('"', "")


def test_a_response_that_is_aborted_with_is_left_alone(make: Make) -> None:
    app = make(lambda: None)
    app.view_functions["x"] = lambda: flask.abort(flask.Response("teapot", 418, {"X-Own": "1"}))
    answer = get(app)
    assert (answer.status_code, answer.text, answer.headers["X-Own"]) == (418, "teapot", "1")


def test_a_status_that_is_not_standard_works_by_a_subclass(make: Make) -> None:
    class InsufficientStorage(HTTPException):
        code = 507
        description = "The disk is full."
        name = "Insufficient Storage"

    answer = get(make(InsufficientStorage), "/api/x")
    assert answer.status_code == 507
    assert answer.json is not None
    assert (answer.json["title"], answer.json["detail"]) == ("Insufficient Storage", "The disk is full.")


@pytest.mark.parametrize("accept", [BROWSER, AXIOS])
def test_head_has_the_headers_and_no_body(make: Make, accept: str) -> None:
    app = make(errors.NotFoundError)
    head, whole = get(app, "/x", accept, "HEAD"), get(app, "/x", accept)
    assert (head.status_code, head.data, head.mimetype) == (404, b"", whole.mimetype)


def test_not_modified_and_redirects_are_left_alone(make: Make) -> None:
    class NotModified(HTTPException):
        code = 304

    app = make(NotModified)
    app.add_url_rule("/folder/", "folder", lambda: "folder")
    answer = get(app, "/x", BROWSER)
    assert (answer.status_code, answer.data) == (304, b"")
    assert get(app, "/folder").status_code == 308


def test_it_can_be_turned_off(make: Make) -> None:
    answer = get(make(lambda: None, error_answers=False), "/nothing-here")
    assert "The requested URL was not found" in answer.text


def test_successful_answers_have_the_same_form(make: Make) -> None:
    app = make(lambda: None)
    app.view_functions["x"] = lambda: errors.success([1], message="two")
    assert get(app).json == {"data": [1], "message": "two"}
    app = make(lambda: None, error_format="envelope")
    app.view_functions["x"] = lambda: errors.created({"id": 1}, location="/things/1")
    answer = get(app)
    assert answer.json is not None
    assert (answer.status_code, answer.location) == (201, "/things/1")
    assert {"success": True, "message": "Created", "data": {"id": 1}}.items() <= answer.json.items()
    for function, message in ((errors.updated, "Updated"), (errors.deleted, "Deleted")):
        app.view_functions["x"] = function
        answer = get(app)
        assert answer.json is not None
        assert (answer.status_code, answer.json["message"]) == (200, message)


def test_a_success_with_a_status_of_an_error_is_refused(make: Make) -> None:
    with make(lambda: None).test_request_context(), pytest.raises(ValueError, match="allowed are 200 to 299"):
        errors.success(status=404)


@pytest.mark.parametrize("renderer", [lambda problem: 1 / 0, lambda problem: None], ids=["raises", "returns nothing"])
def test_a_renderer_that_fails_is_replaced_by_ours(make: Make, renderer: Any) -> None:
    app = make(RuntimeError("boom"), error_renderer=renderer)
    for path, status in (("/api/x", 500), ("/api/nowhere", 404)):
        answer = app.test_client().get(path)
        assert answer.status_code == status
        assert answer.mimetype == "application/problem+json"


def test_a_content_type_among_an_errors_headers_is_not_sent_twice(make: Make) -> None:
    app = make(errors.ConflictError("Taken.", headers={"Content-Type": "text/plain", "X-Reason": "taken"}))
    answer = app.test_client().get("/api/x")
    assert answer.headers.getlist("Content-Type") == ["application/problem+json"]
    assert answer.headers["X-Reason"] == "taken"


def test_a_success_takes_a_code_and_goes_through_the_users_renderer(make: Make) -> None:
    app = make(lambda: None, error_renderer=lambda answer: {"ok": answer.success, "n": answer.code, "d": answer.data})
    app.view_functions["x"] = lambda: errors.created({"id": 1}, "行", code=7)
    answer = get(app)
    assert (answer.status_code, answer.json) == (201, {"ok": True, "n": 7, "d": {"id": 1}})
    app = make(lambda: None, error_format="msg")
    app.view_functions["x"] = lambda: errors.deleted(message="gone", code=1)
    assert {"msg": "gone", "error_code": 1}.items() <= (get(app).json or {}).items()


def test_every_problem_has_a_code_in_words(make: Make) -> None:
    app = make(RuntimeError("boom"))
    assert app.test_client().get("/api/nowhere").json["code"] == "not_found"
    assert app.test_client().delete("/api/x").json["code"] == "method_not_allowed"
    assert app.test_client().get("/api/x").json["code"] == "internal_server_error"


@pytest.mark.parametrize("format", ["problem", "envelope", "msg"])
def test_an_answer_is_written_as_people_read_it(make: Make, format: str) -> None:
    app = make(errors.ConflictError("名称已被占用", code="已存在"), error_format=format)
    assert "名称已被占用" in get(app, "/api/x").text
    assert "已存在" in get(app, "/api/x").text
    app.view_functions["x"] = lambda: errors.success({"城市": "北京"}, "行")
    assert "北京" in get(app).text


def test_a_json_provider_of_the_apps_own_makes_the_body(make: Make) -> None:
    class Own(DefaultJSONProvider):
        def dumps(self, obj: Any, **options: Any) -> str:
            assert not options
            return super().dumps(obj)

    app = make(errors.NotFoundError)
    app.json = Own(app)
    assert get(app, "/api/x").status_code == 404
    assert get(app, "/api/x").mimetype == "application/problem+json"


def test_what_a_renderer_returns_is_written_as_people_read_it(make: Make) -> None:
    answer = get(make(errors.NotFoundError("没有"), error_renderer=lambda answer: {"说": answer.message}), "/api/x")
    assert (answer.text.strip(), answer.mimetype) == ('{"说": "没有"}', "application/json")
