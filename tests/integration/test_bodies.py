"""Whatever body an app returns, its server sends the same bytes as without otelflask."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from otelflask.testing import FakeCollector
from tests.integration.apps import bodies
from tests.integration.conftest import Serve, Server
from tests.servers import apache_options, beside

pytestmark = pytest.mark.slow

APPS = Path(__file__).parent / "apps"
SERVERS = {
    "werkzeug": ["flask", "--app", "bodies", "run", "-p", "{port}"],
    "wsgiref": ["python", str(APPS / "serve.py"), "wsgiref", "{port}"],
    "gunicorn": ["gunicorn", "-b", "127.0.0.1:{port}", "bodies:app"],
    "gunicorn-gthread": ["gunicorn", "-k", "gthread", "--threads", "2", "-b", "127.0.0.1:{port}", "bodies:app"],
    "waitress": ["waitress-serve", "--listen", "127.0.0.1:{port}", "bodies:app"],
    "gevent": ["python", str(APPS / "serve.py"), "gevent", "{port}"],
    "eventlet": ["python", str(APPS / "serve.py"), "eventlet", "{port}"],
    "cheroot": ["cheroot", "--bind", "127.0.0.1:{port}", "bodies:app"],
    "uwsgi": ["uwsgi", "--http-socket", "127.0.0.1:{port}", "--enable-threads", "--need-app", "-w", "bodies:app"],
    "granian": ["granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", "{port}", "bodies:app"],
    "hypercorn": ["hypercorn", "--bind", "127.0.0.1:{port}", "wsgi:bodies:app"],
    "uvicorn": ["uvicorn", "--port", "{port}", "bodies_asgi:app"],
    "mod_wsgi": ["mod_wsgi-express", "start-server", "bodies.py", "--callable-object", "app", "--port", "{port}"],
}
FLASK = [rule.rule for rule in bodies.app.url_map.iter_rules() if rule.rule.startswith("/flask/")]
PATHS = [*(f"/raw/{name}" for name in bodies.RAW), *FLASK]
RANGES = {"from": "bytes=19995-", "part": "bytes=5-9", "last": "bytes=-3", "beyond": "bytes=90000-"}
#: A header that differs from one response to the next, and ours.
DIFFERENT = (b"date", b"x-request-id", b"traceresponse")


def exchange(server: Server, method: str, path: str, headers: str = "") -> tuple[bytes, list[bytes], bytes]:
    """The response as it is on the wire: status line, headers, and the rest."""
    address = urlsplit(server.url)
    assert address.hostname is not None
    with socket.create_connection((address.hostname, address.port or 80), 20) as connection:
        request = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\n"
        connection.sendall(request.encode())
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(tuple(name + b":" for name in DIFFERENT))]
    return status, sorted(kept), body


def joined(answer: tuple[bytes, list[bytes], bytes]) -> tuple[bytes, list[bytes], bytes]:
    """The response with its chunks as one: Apache joins pieces that arrive soon after one another."""
    status, headers, rest = answer
    if not any(line.lower() == b"transfer-encoding: chunked" for line in headers):
        return answer
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return status, headers, body


@pytest.mark.parametrize("name", SERVERS)
def test_bodies_reach_the_client_as_they_do_without_us(
    name: str, serve: Serve, app_dir: Path, fake_collector: FakeCollector
) -> None:
    (app_dir / bodies.FILE.name).write_bytes(b"0123456789" * 2_000)
    if name == "gevent":
        pytest.importorskip("gevent")
    # eventlet is not among the others: sentry-sdk imports it where it finds it.
    folders = [str(APPS), *([str(beside("eventlet"))] if name == "eventlet" else [])]
    variables = {"PYTHONPATH": os.pathsep.join(folders), "FLASK_SKIP_DOTENV": "1"}
    command = SERVERS[name]
    if name == "mod_wsgi":
        # Its user may not read the tests.
        (app_dir / "bodies.py").write_bytes((APPS / "bodies.py").read_bytes())
        command = [*command, *apache_options(app_dir)]
    stock = serve(command, None, **variables)
    ours = serve(command, fake_collector, INSTRUMENTED="1", **variables)
    asked = [(method, path, "") for path in PATHS for method in ("GET", "HEAD")]
    asked += [("GET", "/flask/file", f"Range: {given}\r\n") for given in RANGES.values()]
    asked += [("GET", "/flask/file", 'If-None-Match: "fixed"\r\n')]
    for method, path, headers in asked:
        wanted = exchange(stock, method, path, headers)
        answer = exchange(ours, method, path, headers)
        if name == "mod_wsgi":
            wanted, answer = joined(wanted), joined(answer)
        assert answer == wanted, (method, path, headers)
        status = wanted[0].split()[1]
        # hypercorn itself cannot send an empty body.
        if not (name == "hypercorn" and status == b"500"):
            assert status in (b"200", b"204", b"206", b"304", b"416"), (path, wanted)
    # What must be closed is closed as often, and no list of the app has grown (wsgiref itself adds to them).
    assert ours.get("/closed") == stock.get("/closed")
    assert ours.get("/headers") == (200, "[1, 2]")
    fake_collector.wait_for(lambda: len(fake_collector.spans) == len(asked) + 2)
    spans = [span for span in fake_collector.spans if span.attributes["url.path"] not in ("/closed", "/headers")]
    assert len(spans) == len(asked)
    sizes = {
        span.attributes["url.path"]: span.attributes["http.response.body.size"]
        for span in spans
        if span.attributes["http.request.method"] == "GET" and span.attributes["http.response.status_code"] == 200
    }
    assert sizes["/raw/generator"] == sizes["/flask/stream"] == 2
    assert sizes["/raw/list-of-many"] == 11
    assert sizes["/raw/again"] == sizes["/raw/sized"] == 15
    assert sizes["/raw/file"] == sizes["/flask/file"] == 20_000
    assert sizes["/raw/own"] == 9
