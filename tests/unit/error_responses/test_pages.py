"""The page of an error: the app's own, or ours."""

from __future__ import annotations

import re
from pathlib import Path

import flask
import pytest
from werkzeug.exceptions import NotFound

from otelflask import errors
from otelflask.testing import CapturedTelemetry
from tests.unit.conftest import Make
from tests.unit.error_responses.asking import BROWSER, get


def test_our_page_is_no_span_of_an_app_whose_jinja_is_instrumented(make: Make, telemetry: CapturedTelemetry) -> None:
    assert get(make(RuntimeError("bug"), libraries="jinja2")).mimetype == "text/html"
    assert [span.name for span in telemetry.spans] == ["GET /x"]


def test_a_template_that_comes_later_is_found_where_jinja_looks_for_changes(make: Make, tmp_path: Path) -> None:
    app = make(NotFound())
    app.template_folder = str(tmp_path)
    (tmp_path / "errors").mkdir()
    for reload, text in ((False, "first"), (True, "second")):
        app.jinja_env.auto_reload = reload
        assert text not in get(app).text
        (tmp_path / "errors" / "404.html").write_text(text)
        assert (text in get(app).text) is reload
        (tmp_path / "errors" / "404.html").unlink()


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
    page = get(app, f"/x?q={attack}", BROWSER).text
    assert "SELECT" not in page
    assert "Traceback" not in page
    missing = get(app, f"/{attack}", BROWSER).text
    said = get(make(errors.BadRequestError(attack)), "/x", BROWSER).text
    for text in (page, missing, said):
        assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in said


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
    answer = get(app, accept=BROWSER)
    assert answer.status_code == 404
    assert "There is no lamp 7." in answer.text


@pytest.mark.parametrize("template", ["{{ 1 / 0 }}", "{% if %}"])
def test_a_template_that_fails_is_an_error_of_the_app(
    make: Make, tmp_path: Path, template: str, telemetry: CapturedTelemetry
) -> None:
    app = make(errors.NotFoundError)
    (tmp_path / "errors").mkdir()
    (tmp_path / "errors" / "404.html").write_text(template)
    app.template_folder = str(tmp_path)
    assert get(app, accept=BROWSER).status_code == 404
    (line,) = [record for record in telemetry.logs if record.severity_text == "ERROR" and not record.event_name]
    assert line.body == "the template of an error page failed; the built-in answer is used"
    assert [record.event_name for record in telemetry.logs].count("exception") == 1
