"""sentry-sdk beside a real Sentry: events go there as well, with the same trace ids. Each in its own process."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import brotli
import pytest
from sentry_sdk.envelope import Envelope

APP = """
import json, logging, os, flask, sentry_sdk, otelflask
from otelflask.testing import CapturedTelemetry

telemetry = CapturedTelemetry()
app = flask.Flask("shop")
when = os.environ["WHEN"]

@app.get("/x")
def x():
    logging.getLogger("shop").error("stock is %d", -1)
    raise LookupError("no lamps")

def own():
    sentry_sdk.init(dsn=os.environ["DSN"])

if when == "before":
    own()
otelflask.init(app, runtime_metrics=False, **telemetry.providers)
if when == "after":
    own()
app.test_client().get("/x")
sentry_sdk.flush(5)
found = [record for record in telemetry.logs if record.event_name in ("exception", "otelflask.message")]
print(json.dumps([[record.event_name, record.body, f"{record.trace_id:032x}"] for record in found]))
"""


@pytest.fixture
def sentry() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A DSN, and the events that arrived there."""
    events: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            unpack = {"gzip": gzip.decompress, "br": brotli.decompress}.get(self.headers.get("Content-Encoding", ""))
            envelope = Envelope.deserialize(unpack(body) if unpack else body)
            event = envelope.get_event()
            if event is not None:
                events.append(dict(event))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://key@127.0.0.1:{server.server_port}/1", events
    server.shutdown()
    thread.join()
    server.server_close()


def _ran(script: str, **environment: str) -> str:
    """The last line that a script prints."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none", "PYTEST_CURRENT_TEST": "engine", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def _run(**environment: str) -> list[list[str]]:
    reports: list[list[str]] = json.loads(_ran(APP, **environment))
    return reports


@pytest.mark.parametrize(
    "when",
    ["by the variable", "before", "after"],
)
def test_with_a_dsn_events_go_to_sentry_as_well(sentry: tuple[str, list[dict[str, Any]]], when: str) -> None:
    dsn, events = sentry
    reports = _run(WHEN=when, DSN=dsn, **({"SENTRY_DSN": dsn} if when == "by the variable" else {}))
    assert sorted(name for name, _, _ in reports) == ["exception", "otelflask.message"]
    (trace_id,) = {trace_id for _, _, trace_id in reports}
    assert any(event.get("exception") for event in events)
    assert {event["contexts"]["trace"]["trace_id"] for event in events} == {trace_id}


def test_without_one_nothing_is_sent_anywhere() -> None:
    reports = _run(WHEN="never")
    assert sorted(body for _, body, _ in reports) == ["LookupError: no lamps", "stock is -1"]


GIVING_APP = """
import copy, json, os, flask, sentry_sdk, otelflask
from sentry_sdk.scrubber import EventScrubber
from otelflask.testing import CapturedTelemetry

telemetry = CapturedTelemetry()
app = flask.Flask("shop")
app.config["SECRET_KEY"] = "canary"
given = {
    "user": {"id": 7, "password": "canary", "ip_address": "10.1.2.3", "inner": {"token": "canary"}},
    "crumb": {"api_key": "canary", "list": [{"secret": "canary"}]},
    "context": {"password": "canary", "deep": {"password": "canary"}},
    "extra": {"authorization": "canary"},
    "tags": {"token": "canary"},
    "itself": {"password": "canary"},
    "event": {"message": "by hand", "extra": {"password": "canary"}, "user": {"password": "canary"}},
}
as_given = copy.deepcopy(given)
given["itself"]["itself"] = given["itself"]

def own():
    scrubber = EventScrubber(recursive=True) if "RECURSIVE" in os.environ else None
    sentry_sdk.init(dsn=os.environ["DSN"], event_scrubber=scrubber)

if os.environ["WHEN"] == "before":
    own()
otelflask.init(app, runtime_metrics=False, **telemetry.providers)
if os.environ["WHEN"] == "after":
    own()

def add_config(event, hint):
    event["extra"] = {**event.get("extra", {}), "password": "canary", "config": app.config, "given": given["context"]}
    return event

@app.get("/x")
def x():
    sentry_sdk.set_user(given["user"])
    sentry_sdk.add_breadcrumb(message="crumb", data=given["crumb"])
    sentry_sdk.set_context("context", given["context"])
    sentry_sdk.set_extra("extra", given["extra"])
    sentry_sdk.set_extra("itself", given["itself"])
    sentry_sdk.set_tags(given["tags"])
    sentry_sdk.get_current_scope().add_event_processor(add_config)
    local = given["user"]
    sentry_sdk.capture_message("hello")
    sentry_sdk.capture_event(given["event"])
    raise LookupError(local["id"])

app.test_client().get("/x")
sentry_sdk.flush(5)
del given["itself"]["itself"]
# sentry-sdk adds to an event that is made by hand.
given["event"] = {name: given["event"].get(name) for name in as_given["event"]}
given["event"]["extra"] = {"password": given["event"]["extra"]["password"]}
reports = [record.attributes for record in telemetry.logs if record.event_name == "exception"]
print(json.dumps([given, as_given, app.config["SECRET_KEY"], [str(attributes) for attributes in reports]]))
"""


@pytest.mark.parametrize("when", ["never", "by the variable", "before", "after"])
@pytest.mark.parametrize("recursive", [False, True])
def test_what_an_app_gives_sentry_sdk_stays_as_it_is(
    sentry: tuple[str, list[dict[str, Any]]], when: str, recursive: bool
) -> None:
    dsn, events = sentry
    variables = {"RECURSIVE": "1"} if recursive else {}
    if when == "by the variable":
        variables["SENTRY_DSN"] = dsn
    done = _ran(GIVING_APP, WHEN=when, DSN=dsn, **variables)
    given, as_given, secret_key, reports = json.loads(done)
    assert given == as_given
    assert secret_key == "canary"
    # Exports are masked all the same.
    (report,) = reports
    assert "'user.id': '7'" in report
    assert "canary" not in report
    if when != "never":
        assert len(events) == 3
        assert all(event["user"]["password"] == "[Filtered]" for event in events if "password" in event["user"])
        assert all("ip_address" not in event["user"] for event in events)
