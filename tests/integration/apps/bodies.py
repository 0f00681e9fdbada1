"""An app with every kind of body that WSGI knows; with otelflask where ``INSTRUMENTED`` is set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Response, send_file

app = Flask("bodies")
Body = Iterable[bytes]

#: The test writes its content.
FILE = Path.cwd() / "file.txt"


def pieces(*given: bytes) -> Iterator[bytes]:
    yield from given


class Again:
    """Can be read more than once, and must be closed."""

    closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return pieces(b"again ", b"and again")

    def close(self) -> None:
        Again.closed += 1


class Sized(Again):
    """Says how many pieces it has."""

    def __len__(self) -> int:
        return 2


class Own:
    """Its own iterator, without ``close``, which starts on first use."""

    def __iter__(self) -> Own:
        self._left = [b"last", b"first"]
        return self

    def __next__(self) -> bytes:
        if not self._left:
            raise StopIteration
        return self._left.pop()


def wrapped_file(environ: dict[str, Any]) -> Body:
    file = FILE.open("rb")
    return environ["wsgi.file_wrapper"](file) if "wsgi.file_wrapper" in environ else iter(lambda: file.read(8_192), b"")


#: Name → status, headers, and what makes the body.
RAW: dict[str, tuple[str, dict[str, str], Callable[[dict[str, Any]], Body]]] = {
    "generator": ("200 OK", {}, lambda environ: pieces(b"a", b"b")),
    "generator-of-known-length": ("200 OK", {"Content-Length": "2"}, lambda environ: pieces(b"a", b"b")),
    "generator-of-nothing": ("200 OK", {}, lambda environ: pieces()),
    "list-of-one": ("200 OK", {}, lambda environ: [b"one"]),
    "list-of-one-of-known-length": ("200 OK", {"Content-Length": "3"}, lambda environ: [b"one"]),
    "list-of-many": ("200 OK", {}, lambda environ: [b"one", b"two", b"three"]),
    "list-of-nothing": ("200 OK", {}, lambda environ: []),
    "empty": ("200 OK", {"Content-Length": "0"}, lambda environ: [b""]),
    "again": ("200 OK", {}, lambda environ: Again()),
    "sized": ("200 OK", {}, lambda environ: Sized()),
    "own": ("200 OK", {}, lambda environ: Own()),
    "file": ("200 OK", {"Content-Length": "20000"}, wrapped_file),
    "file-of-unknown-length": ("200 OK", {}, wrapped_file),
    "no-content": ("204 No Content", {}, lambda environ: []),
    "not-modified": ("304 Not Modified", {"ETag": '"1"'}, lambda environ: []),
}


@app.get("/flask/stream")
def stream() -> Response:
    return Response(pieces(b"a", b"b"))


@app.get("/flask/stream-of-known-length")
def stream_of_known_length() -> Response:
    return Response(pieces(b"a", b"b"), headers={"Content-Length": "2"})


@app.get("/flask/list-of-one")
def list_of_one() -> Response:
    return Response([b"one"])


@app.get("/flask/list-of-many")
def list_of_many() -> Response:
    return Response([b"one", b"two"])


@app.get("/flask/text")
def text() -> str:
    return "text"


@app.get("/flask/empty")
def empty() -> str:
    return ""


@app.get("/flask/file")
def file() -> Response:
    return send_file(FILE, conditional=True, etag="fixed")


@app.get("/flask/no-content")
def no_content() -> tuple[str, int]:
    return "", 204


@app.get("/flask/not-modified")
def not_modified() -> Response:
    response = Response(status=304)
    response.set_etag("fixed")
    return response


_flask_app = app.wsgi_app
#: The same lists for all requests, so that additions would show.
_HEADERS = {name: [("Content-Type", "text/plain"), *headers.items()] for name, (_, headers, _) in RAW.items()}


def _wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Body:
    prefix, _, name = environ["PATH_INFO"].removeprefix("/").partition("/")
    if prefix in ("closed", "headers"):
        state = Again.closed if prefix == "closed" else sorted({len(headers) for headers in _HEADERS.values()})
        found = str(state).encode()
        start_response("200 OK", [("Content-Length", str(len(found)))])
        return [found]
    if prefix != "raw":
        return _flask_app(environ, start_response)
    status, _, make = RAW[name]
    start_response(status, _HEADERS[name])
    return make(environ)


app.wsgi_app = _wsgi_app  # type: ignore[method-assign]

if os.environ.get("INSTRUMENTED"):
    import otelflask

    # Error responses of otelflask would differ.
    otelflask.init(app, error_answers=False)
