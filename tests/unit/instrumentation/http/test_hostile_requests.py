"""Whatever a client sends, the response is the app's and the telemetry is complete."""

from __future__ import annotations

import io
from typing import Any

import flask
import pytest

import otelflask
from otelflask._internal.export.otlp_encoder import Encoder
from otelflask._internal.limits import Limits
from otelflask._internal.redaction import Scrubber
from otelflask.testing import CapturedTelemetry
from tests.otlp import encoded_spans


def call(app: flask.Flask, **environ: Any) -> tuple[str, bytes]:
    """A request with an environ that no test client would make."""
    statuses: list[str] = []
    full = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/items/1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "test",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        **environ,
    }
    result: Any = app(full, lambda status, headers, exc_info=None: statuses.append(status))  # type: ignore[arg-type]
    try:
        body = b"".join(result)
    finally:
        result.close()
    return statuses[0], body


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_TRACEPARENT": "00-zz-zz-01"},
        {"HTTP_TRACEPARENT": "x" * 100_000},
        {"HTTP_BAGGAGE": "k=" + "v" * 100_000},
        {"HTTP_TRACEPARENT": f"00-{1:032x}-{2:016x}-01", "HTTP_TRACESTATE": ",".join(f"k{i}=v" for i in range(500))},
        {"HTTP_HOST": "[::1"},
        {"HTTP_HOST": "evil:port:99999999"},
        {"HTTP_HOST": "\ud800"},
        {"HTTP_USER_AGENT": "\x00\ud800" * 10_000},
        {"REMOTE_ADDR": "\x00" * 500},
        {"QUERY_STRING": "a=%00&b=" + "c" * 100_000},
        {"CONTENT_LENGTH": "-5"},
        {"CONTENT_LENGTH": "9" * 500},
        {"HTTP_X_REQUEST_ID": "\r\nSet-Cookie: x=1"},
        {"wsgi.url_scheme": "javascript"},
        {"SERVER_PROTOCOL": "HTTP/99"},
    ],
)
def test_a_hostile_environ_changes_no_answer_and_loses_nothing(
    app: flask.Flask, telemetry: CapturedTelemetry, environ: dict[str, str]
) -> None:
    expected = ("200 OK", b"item 1") if "[" not in environ.get("HTTP_HOST", "") else None
    status, body = call(app, **environ)
    if expected:
        assert (status, body) == expected
    (span,) = telemetry.spans
    assert len(encoded_spans(Encoder(Scrubber(), Limits()), [span])) < 20_000
    (record,) = [r for r in telemetry.logs if r.event_name == "http.server.request"]
    assert record.span_id == span.get_span_context().span_id  # type: ignore[union-attr]
    assert len(telemetry.points("http.server.request.duration")) == 1


@pytest.mark.parametrize("path", ["/\xc3\x28\x00", "/\xff\xfe", "/" + "x" * 100_000, "/%00"])
def test_a_hostile_path_is_a_404_with_a_span(app: flask.Flask, telemetry: CapturedTelemetry, path: str) -> None:
    status, _ = call(app, PATH_INFO=path)
    assert status.startswith("404")
    assert encoded_spans(Encoder(Scrubber(), Limits()), telemetry.spans)


def test_methods_that_clients_make_up_are_one_series(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    for n in range(30):
        call(app, REQUEST_METHOD=f"METHOD{n}")
    methods = {p.attributes["http.request.method"] for p in telemetry.points("http.server.request.duration")}
    assert methods == {"_OTHER"}


def test_a_client_that_goes_away_closes_the_request(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    environ = {"PATH_INFO": "/stream", "REQUEST_METHOD": "GET", "SERVER_NAME": "x", "SERVER_PORT": "80"}
    environ |= {"wsgi.url_scheme": "http", "SERVER_SOFTWARE": "test"}
    result: Any = app({**environ, "wsgi.input": io.BytesIO()}, lambda *args: None)  # type: ignore[arg-type, return-value]
    assert next(result) == b"one"
    assert not telemetry.spans
    result.close()
    assert telemetry.span("GET /stream").attributes["http.response.body.size"] == 3  # type: ignore[index]
    assert all(p.value == 0 for p in telemetry.points("http.server.active_requests"))


def test_a_stream_that_breaks_is_an_error(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    @app.get("/breaks")
    def breaks() -> flask.Response:
        def pieces() -> Any:
            yield b"a"
            raise OSError("disk")

        return flask.Response(pieces())

    with pytest.raises(OSError, match="disk"):
        call(app, PATH_INFO="/breaks")
    span = telemetry.span("GET /breaks")
    assert span.attributes["error.type"] == "OSError"  # type: ignore[index]


@pytest.mark.parametrize("takes_attributes", [True, False])
def test_a_file_response_reaches_the_server_as_it_is(
    app: flask.Flask, telemetry: CapturedTelemetry, takes_attributes: bool
) -> None:
    class FileWrapper:
        def __init__(self, file: Any, size: int = 8_192) -> None:
            self.file = file

        def __iter__(self) -> Any:
            return iter([self.file.read()])

        def close(self) -> None:
            self.file.close()

    class FixedFileWrapper(FileWrapper):
        def __setattr__(self, name: str, value: object) -> None:
            if name == "close":
                raise AttributeError(name)
            super().__setattr__(name, value)

    wrapper = FileWrapper if takes_attributes else FixedFileWrapper

    def raw(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "5")])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"bytes"))

    otelflask.FlaskInstrumentor.uninstrument_app(app)
    app.wsgi_app = raw  # type: ignore[method-assign]
    otelflask.FlaskInstrumentor.instrument_app(app, **telemetry.providers)
    assert call(app, **{"wsgi.file_wrapper": wrapper}) == ("200 OK", b"bytes")
    (span,) = telemetry.spans
    assert span.attributes["http.response.body.size"] == 5  # type: ignore[index]


class Hostile:
    """Raises on each access."""

    def _raise(self, *args: object) -> Any:
        raise RuntimeError("hostile")

    __str__ = __repr__ = __hash__ = __len__ = __eq__ = __bool__ = _raise  # type: ignore[assignment]


def test_hostile_objects_at_public_calls_raise_nothing(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    from opentelemetry import trace

    @app.get("/hostile")
    def hostile() -> str:
        otelflask.set_user(Hostile())
        app.logger.warning("with %s", "extra", extra={"o": Hostile()})
        trace.get_current_span().set_attribute("o", Hostile())  # type: ignore[arg-type]
        return "fine"

    assert app.test_client().get("/hostile").data == b"fine"
    assert telemetry.span("GET /hostile")


def test_an_exception_that_cannot_be_printed_is_the_apps_own(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    @app.errorhandler(UnprintableError)
    def handler(error: UnprintableError) -> tuple[str, int]:
        return "handled", 500

    @app.get("/raise")
    def fails() -> str:
        raise UnprintableError

    assert app.test_client().get("/raise").data == b"handled"
    assert telemetry.span("GET /raise").attributes["error.type"].endswith("UnprintableError")  # type: ignore[index, union-attr]
