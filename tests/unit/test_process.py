"""What a process has once: a second app is told what of its options is not used, and its secrets are masked."""

from __future__ import annotations

import os
import subprocess
import sys

from otelflask.testing import FakeCollector
from tests.integration.conftest import NO_EXPORT

SCRIPT = """
import flask, otelflask
from otelflask import process
from otelflask.settings import Settings

otelflask.init(flask.Flask("first"), redact_names="iban")
otelflask.init(flask.Flask("same"), redact_names="iban")
otelflask.init(flask.Flask("second"), redact_names="pesel", redact_patterns="DE[0-9]{20}", log_level="error",
               breaker_redis="redis://:canary@localhost/0", error_fingerprint=lambda error: None, health_path="/up")
scrubber = process._process.pipeline.scrubber
print(scrubber.text("iban=canary pesel=canary DE12345678901234567890"))
assert set(process.OF_PROCESS) <= set(Settings.__dataclass_fields__)
"""


def test_a_second_app_adds_what_is_masked_and_is_told_what_is_not_used() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**os.environ, **NO_EXPORT}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "iban=[redacted] pesel=[redacted] [redacted]"
    (line,) = done.stderr.splitlines()
    assert "log_level='error' (it has 'notset'), breaker_redis='redis://[redacted]@localhost/0' (it has '')" in line
    assert "error_fingerprint is not used" in line
    assert "health_path" not in line
    assert "canary" not in line


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
    # And what is not set is what it is with zero code: OTLP over HTTP, compressed.
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
