"""Pyroscope's agent in each of two workers: its samples name the spans of their requests."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from otelflask.testing import FakeCollector

from .conftest import Serve

pytest.importorskip("pyroscope", reason="pyroscope-io has no wheel here")
pytestmark = pytest.mark.slow

APP = """
import os, time
from flask import Flask
import otelflask

app = Flask("profiled")
otelflask.init(app, runtime_metrics=False)

@app.get("/busy")
def busy():
    end = time.perf_counter() + 0.3
    while time.perf_counter() < end:
        sum(range(1000))
    return str(os.getpid())
"""


def _unpacked(body: bytes) -> bytes:
    """A push and the profile in it, uncompressed."""
    for _ in range(2):
        start = body.find(b"\x1f\x8b\x08")
        if start >= 0:
            body = body[:start] + zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(body[start:])
    return body


@pytest.fixture
def pushes() -> Iterator[tuple[str, list[bytes]]]:
    """A server in place of Pyroscope: its address, and the bodies that it got."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(_unpacked(self.rfile.read(int(self.headers.get("Content-Length", 0)))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", bodies
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_worker_pushes_and_its_samples_name_spans(
    serve: Serve, app_dir: Path, pushes: tuple[str, list[bytes]]
) -> None:
    (app_dir / "profiled.py").write_text(APP)
    url, bodies = pushes
    with FakeCollector() as collector:
        server = serve(
            ["gunicorn", "--preload", "--bind", "127.0.0.1:{port}", "--workers", "2", "profiled:app"],
            collector,
            OTELFLASK_PYROSCOPE_URL=url,
        )
        pids: set[str] = set()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pids.add(server.get("/busy")[1])
            pushed = [pid for pid in pids if any(pid.encode() in body for body in bodies)]
            if len(pids) == 2 and len(pushed) == 2:
                break
        server.stop()
        spans = {span.attributes.get("pyroscope.profile.id") for span in collector.spans if span.name == "GET /busy"}
    assert len(pushed) == 2
    assert None not in spans
    assert any(span_id.encode() in body for span_id in spans for body in bodies)
