"""The environment: `init` writes nothing into it, and the stock parts read it as they should."""

from __future__ import annotations

import os
import subprocess
import sys

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otelflask._internal.export.destinations import GrpcDestination, HttpDestination
from otelflask._internal.export.environment import grpc_compression, http_compression
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
    # What is unset has the same default as with zero code: OTLP over HTTP.
    assert done.stdout.strip() == "otlp_http_metric_exporter"
    signals = {(signal, headers.get("Content-Encoding")) for signal, headers, _ in fake_collector.requests}
    assert signals == {("traces", None), ("metrics", None), ("logs", None)}


@pytest.mark.parametrize(
    ("variables", "compressed"),
    [
        ({}, False),
        ({"ENDPOINT": "http://localhost:4318"}, False),
        ({"ENDPOINT": "http://127.8.0.1:4318"}, False),
        ({"ENDPOINT": "localhost:4317"}, False),
        ({"ENDPOINT": "http://[::1]:4318"}, False),
        ({"ENDPOINT": "unix:///run/collector.sock"}, False),
        ({"ENDPOINT": "http://collector:4318"}, True),
        ({"ENDPOINT": "https://10.0.0.1"}, True),
        ({"ENDPOINT": "collector:4317"}, True),
        ({"ENDPOINT": "http://localhost:4318", "TRACES_ENDPOINT": "http://tempo:4318/v1/traces"}, True),
        ({"ENDPOINT": "http://collector:4318", "TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}, False),
    ],
)
def test_what_leaves_the_machine_is_compressed(
    variables: dict[str, str], compressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    assert (http_compression("traces") is Compression.Gzip) is compressed
    assert (grpc_compression("traces") is grpc.Compression.Gzip) is compressed


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_receiver_on_this_machine_gets_compressed_data_where_a_variable_asks_for_it(
    protocol: str, fake_collector: FakeCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in fake_collector.environment(protocol).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    destination = GrpcDestination("traces") if protocol == "grpc" else HttpDestination("traces")
    message = ExportTraceServiceRequest()
    message.resource_spans.add().scope_spans.add().spans.add(name="zipped")
    assert destination.send(message.SerializeToString(), 10.0).delivered
    destination.close()
    assert [span.name for span in fake_collector.spans] == ["zipped"]
    if protocol != "grpc":
        assert [headers["Content-Encoding"] for _, headers, _ in fake_collector.requests] == ["gzip"]


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
