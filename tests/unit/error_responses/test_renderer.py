"""The content and format of error responses."""

from __future__ import annotations

import json
import re
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import flask
import pytest
from flask.json.provider import DefaultJSONProvider
from opentelemetry.trace.status import StatusCode
from werkzeug.exceptions import HTTPException, NotFound, ServiceUnavailable, Unauthorized
from werkzeug.test import TestResponse

import otelflask
from otelflask import errors
from otelflask.testing import CapturedTelemetry
from tests.unit.conftest import Make

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
AXIOS = "application/json, text/plain, */*"


def _get(app: flask.Flask, path: str = "/x", accept: str | None = None, method: str = "GET") -> TestResponse:
    return app.test_client().open(path, method=method, headers={"Accept": accept} if accept else {})


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        (BROWSER, "text/html"),
        (AXIOS, "application/problem+json"),
        (None, "application/problem+json"),
        ("*/*", "application/problem+json"),
        ("text/html", "text/html"),
        ("text/html;q=0.5, application/json", "application/problem+json"),
        ("application/json;q=0.5, text/html;q=0.5", "text/html"),
        ("text/html;q=0, */*", "application/problem+json"),
        ("application/problem+json", "application/problem+json"),
        ("text/*", "application/problem+json"),
    ],
)
def test_the_client_gets_what_it_lists_and_else_json_for_an_error_of_ours(
    make: Make, accept: str | None, mimetype: str
) -> None:
    answer = _get(make(errors.NotFoundError), accept=accept)
    assert answer.mimetype == mimetype
    assert answer.vary.to_header() == "Accept"


@pytest.mark.parametrize("error", [RuntimeError("bug"), NotFound()])
@pytest.mark.parametrize(
    ("accept", "body", "mimetype"),
    [
        (None, None, "text/html"),
        ("*/*", None, "text/html"),
        ("text/plain", None, "text/html"),
        ("*/*", {"lamps": 3}, "application/problem+json"),
        (AXIOS, None, "application/problem+json"),
        ("text/html;q=0, */*", None, "application/problem+json"),
    ],
)
def test_an_error_that_flask_answers_stays_a_page_unless_the_client_lists_or_sends_json(
    make: Make, error: Exception, accept: str | None, body: Any, mimetype: str
) -> None:
    headers = {"Accept": accept} if accept else {}
    answer = make(error).test_client().get("/x", json=body, headers=headers)
    assert answer.mimetype == mimetype
    assert answer.vary.to_header() == "Accept"


def test_our_page_is_no_span_of_an_app_whose_jinja_is_instrumented(make: Make, telemetry: CapturedTelemetry) -> None:
    assert _get(make(RuntimeError("bug"), libraries="jinja2")).mimetype == "text/html"
    assert [span.name for span in telemetry.spans] == ["GET /x"]


def test_a_template_that_comes_later_is_found_where_jinja_looks_for_changes(make: Make, tmp_path: Path) -> None:
    app = make(NotFound())
    app.template_folder = str(tmp_path)
    (tmp_path / "errors").mkdir()
    for reload, text in ((False, "first"), (True, "second")):
        app.jinja_env.auto_reload = reload
        assert text not in _get(app).text
        (tmp_path / "errors" / "404.html").write_text(text)
        assert (text in _get(app).text) is reload
        (tmp_path / "errors" / "404.html").unlink()


def test_below_the_path_prefix_errors_are_json_even_for_a_browser(make: Make) -> None:
    app = make(errors.NotFoundError)
    for path in ("/api/x", "/api/nothing-here"):
        answer = _get(app, path, BROWSER)
        assert (answer.mimetype, answer.status_code) == ("application/problem+json", 404)
        assert "Accept" not in answer.vary


def test_the_prefixes_are_a_setting(make: Make) -> None:
    app = make(errors.NotFoundError, json_paths="/v1/, /x")
    assert _get(app, "/x", BROWSER).mimetype == "application/problem+json"
    assert _get(app, "/api/x", BROWSER).mimetype == "text/html"


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
        assert _get(app, "/api/admin", accept).mimetype == mimetype


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
    found = _get(app, "/api/x").json
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
    answer = _get(make(error, error_format="msg"), "/api/x?password=1")
    assert answer.json is not None
    assert answer.status_code == status
    assert {**body, "request": "GET /api/x"}.items() <= answer.json.items()
    assert "secret" not in answer.text


def test_a_raised_success_is_no_error(make: Make, telemetry: CapturedTelemetry) -> None:
    answer = _get(make(Stocked(details=[1]), error_format="envelope"), "/api/x")
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

    answer = _get(make(errors.RateLimitError("slow down", retry_after=3), error_renderer=renderer), "/api/x")
    assert (answer.status_code, answer.json) == (429, {"oops": "slow down", "code": "too_many_requests"})
    assert answer.headers["Retry-After"] == "3"


@pytest.mark.parametrize("status", [400, 404, 405, 500, 503])
def test_a_page_says_what_happened_what_to_do_and_one_reference(make: Make, status: int) -> None:
    app = make(lambda: None)
    app.view_functions["x"] = lambda: flask.abort(status)
    answer = app.test_client().get("/x", headers={"Accept": BROWSER, "X-Request-ID": "quote-me"})
    assert answer.status_code == status
    trace_id = answer.headers["traceresponse"].split("-")[1]
    assert re.findall("<code>(.*)</code>", answer.text) == [trace_id[:8]]
    assert "<h1>" in answer.text
    assert re.search(r"Try|try|Check|Go back", answer.text)


def test_a_page_shows_no_markup_traceback_or_sql(make: Make) -> None:
    attack = "<script>alert(1)</script>"
    app = make(RuntimeError(f"SELECT secret FROM users; {attack}"))
    page = _get(app, f"/x?q={attack}", BROWSER).text
    assert "SELECT" not in page
    assert "Traceback" not in page
    missing = _get(app, f"/{attack}", BROWSER).text
    said = _get(make(errors.BadRequestError(attack)), "/x", BROWSER).text
    for text in (page, missing, said):
        assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in said


@pytest.mark.parametrize("answer", ["json", "html"])
def test_an_unhandled_error_says_nothing_of_its_cause(make: Make, answer: str) -> None:
    app = make(RuntimeError("password=hunter2"))
    response = _get(app, "/x", BROWSER if answer == "html" else AXIOS)
    assert response.status_code == 500
    assert "hunter2" not in response.text
    assert "RuntimeError" not in response.text


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("404.html", 404),
        ("4xx.html", 404),
        ("4xx.html", 409),
        ("5xx.html", 500),
        ("5xx.html", 503),
        ("error.html", 404),
    ],
)
@pytest.mark.parametrize("folder", ["errors", "error"])
def test_the_apps_own_templates_go_before_ours(make: Make, tmp_path: Path, name: str, status: int, folder: str) -> None:
    app = make(errors.AppError("said", status=status))
    (tmp_path / folder).mkdir()
    (tmp_path / folder / name).write_text("own {{ status }} {{ message }} {{ request_id }} {{ reference }}")
    app.template_folder = str(tmp_path)
    answer = app.test_client().get("/x", headers={"Accept": BROWSER, "X-Request-ID": "me"})
    trace_id = answer.headers["traceresponse"].split("-")[1]
    assert (answer.status_code, answer.text) == (status, f"own {status} said me {trace_id[:8]}")


@pytest.mark.parametrize("template", ["{{ 1 / 0 }}", "{% if %}"])
def test_a_template_that_fails_is_replaced_by_ours(make: Make, tmp_path: Path, template: str) -> None:
    app = make(errors.NotFoundError("There is no lamp 7."))
    (tmp_path / "errors").mkdir()
    (tmp_path / "errors" / "404.html").write_text(template)
    app.template_folder = str(tmp_path)
    answer = _get(app, accept=BROWSER)
    assert answer.status_code == 404
    assert "There is no lamp 7." in answer.text


@pytest.mark.parametrize("accept", [BROWSER, AXIOS])
def test_headers_of_the_exception_are_kept(make: Make, accept: str) -> None:
    app = make(lambda: None)
    assert set(_get(app, "/x", accept, "DELETE").headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}

    def busy() -> None:
        raise ServiceUnavailable(retry_after=17)

    app.view_functions["x"] = busy  # type: ignore[assignment]
    assert _get(app, "/x", accept).headers["Retry-After"] == "17"

    def login() -> None:
        from werkzeug.datastructures import WWWAuthenticate

        raise Unauthorized(www_authenticate=WWWAuthenticate("basic", {"realm": "shop"}))

    app.view_functions["x"] = login  # type: ignore[assignment]
    assert "realm=shop" in _get(app, "/x", accept).headers["WWW-Authenticate"].replace('"', "")


def test_a_response_that_is_aborted_with_is_left_alone(make: Make) -> None:
    app = make(lambda: None)
    app.view_functions["x"] = lambda: flask.abort(flask.Response("teapot", 418, {"X-Own": "1"}))
    answer = _get(app)
    assert (answer.status_code, answer.text, answer.headers["X-Own"]) == (418, "teapot", "1")


def test_a_status_that_is_not_standard_works_by_a_subclass(make: Make) -> None:
    class InsufficientStorage(HTTPException):
        code = 507
        description = "The disk is full."
        name = "Insufficient Storage"

    answer = _get(make(InsufficientStorage), "/api/x")
    assert answer.status_code == 507
    assert answer.json is not None
    assert (answer.json["title"], answer.json["detail"]) == ("Insufficient Storage", "The disk is full.")


@pytest.mark.parametrize("accept", [BROWSER, AXIOS])
def test_head_has_the_headers_and_no_body(make: Make, accept: str) -> None:
    app = make(errors.NotFoundError)
    head, get = _get(app, "/x", accept, "HEAD"), _get(app, "/x", accept)
    assert (head.status_code, head.data, head.mimetype) == (404, b"", get.mimetype)


def test_not_modified_and_redirects_are_left_alone(make: Make) -> None:
    class NotModified(HTTPException):
        code = 304

    app = make(NotModified)
    app.add_url_rule("/folder/", "folder", lambda: "folder")
    answer = _get(app, "/x", BROWSER)
    assert (answer.status_code, answer.data) == (304, b"")
    assert _get(app, "/folder").status_code == 308


def test_it_can_be_turned_off(make: Make) -> None:
    answer = _get(make(lambda: None, error_answers=False), "/nothing-here")
    assert "The requested URL was not found" in answer.text


def test_successful_answers_have_the_same_form(make: Make) -> None:
    app = make(lambda: None)
    app.view_functions["x"] = lambda: errors.success([1], message="two")
    assert _get(app).json == {"data": [1], "message": "two"}
    app = make(lambda: None, error_format="envelope")
    app.view_functions["x"] = lambda: errors.created({"id": 1}, location="/things/1")
    answer = _get(app)
    assert answer.json is not None
    assert (answer.status_code, answer.location) == (201, "/things/1")
    assert {"success": True, "message": "Created", "data": {"id": 1}}.items() <= answer.json.items()
    for function, message in ((errors.updated, "Updated"), (errors.deleted, "Deleted")):
        app.view_functions["x"] = function
        answer = _get(app)
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
    answer = _get(app)
    assert (answer.status_code, answer.json) == (201, {"ok": True, "n": 7, "d": {"id": 1}})
    app = make(lambda: None, error_format="msg")
    app.view_functions["x"] = lambda: errors.deleted(message="gone", code=1)
    assert {"msg": "gone", "error_code": 1}.items() <= (_get(app).json or {}).items()


def test_every_problem_has_a_code_in_words(make: Make) -> None:
    app = make(RuntimeError("boom"))
    assert app.test_client().get("/api/nowhere").json["code"] == "not_found"
    assert app.test_client().delete("/api/x").json["code"] == "method_not_allowed"
    assert app.test_client().get("/api/x").json["code"] == "internal_server_error"


@pytest.mark.parametrize("format", ["problem", "envelope", "msg"])
def test_an_answer_is_written_as_people_read_it(make: Make, format: str) -> None:
    app = make(errors.ConflictError("名称已被占用", code="已存在"), error_format=format)
    assert "名称已被占用" in _get(app, "/api/x").text
    assert "已存在" in _get(app, "/api/x").text
    app.view_functions["x"] = lambda: errors.success({"城市": "北京"}, "行")
    assert "北京" in _get(app).text


def test_a_json_provider_of_the_apps_own_makes_the_body(make: Make) -> None:
    class Own(DefaultJSONProvider):
        def dumps(self, obj: Any, **options: Any) -> str:
            assert not options
            return super().dumps(obj)

    app = make(errors.NotFoundError)
    app.json = Own(app)
    assert _get(app, "/api/x").status_code == 404
    assert _get(app, "/api/x").mimetype == "application/problem+json"


def test_what_a_renderer_returns_is_written_as_people_read_it(make: Make) -> None:
    answer = _get(make(errors.NotFoundError("没有"), error_renderer=lambda answer: {"说": answer.message}), "/api/x")
    assert (answer.text.strip(), answer.mimetype) == ('{"说": "没有"}', "application/json")


@pytest.mark.parametrize("template", ["{{ 1 / 0 }}", "{% if %}"])
def test_a_template_that_fails_is_an_error_of_the_app(
    make: Make, tmp_path: Path, template: str, telemetry: CapturedTelemetry
) -> None:
    app = make(errors.NotFoundError)
    (tmp_path / "errors").mkdir()
    (tmp_path / "errors" / "404.html").write_text(template)
    app.template_folder = str(tmp_path)
    assert _get(app, accept=BROWSER).status_code == 404
    (line,) = [record for record in telemetry.logs if record.severity_text == "ERROR" and not record.event_name]
    assert line.body == "the template of an error page failed; the built-in answer is used"
    assert [record.event_name for record in telemetry.logs].count("exception") == 1
