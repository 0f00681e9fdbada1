"""An observed body offers the server what the app's body offers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import flask
import pytest

import otelflask
from otelflask.testing import CapturedTelemetry

Body = Iterable[bytes]


class Sized:
    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"a", b"b"])


class Closable(Sized):
    closed = False

    def close(self) -> None:
        self.closed = True


class Endless:
    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return b"a"


Call = Callable[..., Any]


@pytest.fixture
def call(telemetry: CapturedTelemetry) -> Call:
    """Call a Flask app with a WSGI app that returns a body. Returns what the server gets."""

    def give(body: Body, headers: list[tuple[str, str]] | None = None, **environ: Any) -> Any:
        app = flask.Flask("bodies")

        def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Body:
            start_response("200 OK", [("Content-Type", "text/plain")] if headers is None else headers)
            return body

        app.wsgi_app = wsgi_app  # type: ignore[method-assign,assignment]
        otelflask.init(app, runtime_metrics=False, reports=False, **telemetry.providers)
        asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_SOFTWARE": "a server", **environ}
        return app.wsgi_app(asked, lambda status, headers, *rest: None)

    return give


def test_an_observed_body_has_what_the_apps_has_and_nothing_else(call: Call) -> None:
    bodies: list[Body] = [Sized(), Closable(), Endless(), (b"a" for _ in "ab"), iter([b"a"]), [b"a"], (), {b"a": 1}]
    for body in bodies:
        given = call(body)
        for name in ("__len__", "__next__", "__iter__", "close"):
            assert hasattr(given, name) is hasattr(body, name), (body, name)
    assert len(call(Sized())) == 2


def test_a_body_that_can_be_read_again_is_counted_once(call: Call, telemetry: CapturedTelemetry) -> None:
    # eventlet and gevent read what has a length to know its length, and then once more to send it.
    given = call(Sized())
    assert sum(map(len, given)) == 2
    assert list(given) == [b"a", b"b"]
    assert [span.attributes["http.response.body.size"] for span in telemetry.spans] == [2]


def test_a_list_is_handed_on_as_it_is(call: Call, telemetry: CapturedTelemetry) -> None:
    body = [b"one", b"two"]
    assert call(body) is body
    assert [span.attributes["http.response.body.size"] for span in telemetry.spans] == [6]


def test_a_servers_file_wrapper_is_handed_on_as_it_is(call: Call, telemetry: CapturedTelemetry) -> None:
    file = io.BytesIO(b"content")
    wrapper = FileWrapper(file)
    given = call(wrapper, [("Content-Length", "7")], **{"wsgi.file_wrapper": FileWrapper})
    assert given is wrapper
    assert telemetry.spans == []
    given.close()
    assert file.closed
    assert [span.attributes["http.response.body.size"] for span in telemetry.spans] == [7]


def test_a_file_that_its_server_knows_again_is_handed_on_and_not_written_to(
    call: Call, telemetry: CapturedTelemetry
) -> None:
    # uWSGI's wrapper is a function that gives the file back.
    file = io.BytesIO(b"content")
    assert call(file, [("Content-Length", "7")], **{"wsgi.file_wrapper": lambda file, size=0: file}) is file
    assert vars(file) == {}
    assert [span.attributes["http.response.body.size"] for span in telemetry.spans] == [7]


def test_what_an_app_closes_is_closed_once_and_ends_the_request(call: Call, telemetry: CapturedTelemetry) -> None:
    body = Closable()
    given = call(body)
    assert telemetry.spans == []
    given.close()
    assert body.closed
    assert len(telemetry.spans) == 1


def test_a_body_without_close_ends_its_request_when_its_server_lets_go_of_it(
    call: Call, telemetry: CapturedTelemetry
) -> None:
    given = call(Endless())
    assert next(given) == b"a"
    assert telemetry.spans == []
    del given
    assert len(telemetry.spans) == 1


def test_headers_of_the_apps_are_not_added_to(call: Call) -> None:
    headers = [("Content-Type", "text/plain")]
    call([b"a"], headers)
    assert headers == [("Content-Type", "text/plain")]


def test_a_piece_that_is_nothing_is_left_to_the_server(call: Call) -> None:
    assert list(call(iter([None, b"a"]))) == [None, b"a"]


def test_an_observed_app_conforms_to_wsgi(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("conforming")

    @app.get("/stream")
    def stream() -> flask.Response:
        return flask.Response((b"a" for _ in "ab"), content_type="text/plain")

    otelflask.init(app, runtime_metrics=False, reports=False, **telemetry.providers)
    app.wsgi_app = validator(app.wsgi_app)  # type: ignore[method-assign,assignment,arg-type]
    for path in ("/stream", "/missing"):
        response = app.test_client().get(path, headers={"Accept": "text/html"}, buffered=True)
        response.close()
        assert response.data
