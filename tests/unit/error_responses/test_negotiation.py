"""The client decides about the format of an error."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import NotFound

from otelflask import errors
from tests.unit.conftest import Make
from tests.unit.error_responses.asking import AXIOS, BROWSER, get


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
    answer = get(make(errors.NotFoundError), accept=accept)
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


def test_an_app_that_reads_the_header_in_its_own_way_decides(make: Make) -> None:
    class Request(flask.Request):
        @property
        def accept_mimetypes(self) -> MIMEAccept:  # type: ignore[override]
            return MIMEAccept([("application/json", 1)])

    app = make(errors.NotFoundError)
    app.request_class = Request
    assert get(app, accept=BROWSER).mimetype == "application/problem+json"
