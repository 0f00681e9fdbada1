"""The environment: `init` writes nothing into it, and the stock parts read it as they should."""

from __future__ import annotations

import os
import subprocess
import sys

from otelflask.testing import FakeCollector

UNTOUCHED = """
import os
before = dict(os.environ)
import flask, otelflask, requests
app = flask.Flask("shop")
otelflask.init(app)
app.test_client().get("/")
otelflask.flush()
assert dict(os.environ) == before, set(os.environ) ^ set(before)
print(app.extensions["otelflask"].pipeline.queues[0].destination.component_type)
"""


def test_init_writes_nothing_into_the_environment(fake_collector: FakeCollector) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL")}
    environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = fake_collector.http_endpoint
    done = subprocess.run([sys.executable, "-c", UNTOUCHED], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # What is unset has the same default as with zero code: OTLP over HTTP, compressed.
    assert done.stdout.strip() == "otlp_http_metric_exporter"
    signals = {(signal, headers.get("Content-Encoding")) for signal, headers, _ in fake_collector.requests}
    assert signals == {("traces", "gzip"), ("metrics", "gzip"), ("logs", "gzip")}


STABLE = """
import flask, otelflask, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()
    def log_message(self, *arguments):
        pass

server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
otelflask.init(flask.Flask("shop"))
import requests
requests.get(f"http://127.0.0.1:{server.server_port}/")
otelflask.flush()
"""


def test_stock_instrumentations_use_the_stable_names_after_init(fake_collector: FakeCollector) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL")}
    environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = fake_collector.http_endpoint
    subprocess.run([sys.executable, "-c", STABLE], env=environ, check=True)
    names = {name for span in fake_collector.spans for name in span.attributes}
    assert "http.request.method" in names
    assert "http.method" not in names
