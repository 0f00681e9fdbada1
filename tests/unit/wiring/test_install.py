"""The one wiring: what a process has once, and what each app gets, in any order."""

from __future__ import annotations

import os
import subprocess
import sys

import flask
import pytest

import otelflask
from otelflask.testing import CapturedTelemetry
from tests.integration.conftest import NO_EXPORT

SCRIPT = """
import flask, otelflask
from otelflask._internal.wiring import install as wiring
from otelflask._internal.settings import Settings

otelflask.init(flask.Flask("first"), redact_names="iban")
otelflask.init(flask.Flask("same"), redact_names="iban")
otelflask.init(flask.Flask("second"), redact_names="pesel", redact_patterns="DE[0-9]{20}", log_level="error",
               breaker_redis="redis://:canary@localhost/0", error_fingerprint=lambda error: None, health_path="/up")
scrubber = wiring._telemetry.pipeline.scrubber
print(scrubber.text("iban=canary pesel=canary DE12345678901234567890"))
"""


def test_a_second_app_adds_what_is_masked_and_is_told_what_is_not_used() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**os.environ, **NO_EXPORT}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "iban=[redacted] pesel=[redacted] [redacted]"
    (line,) = done.stderr.splitlines()
    assert "log_level='error' (the process has 'notset')" in line
    assert "breaker_redis='redis://[redacted]@localhost/0' (the process has '')" in line
    assert "error_fingerprint; set them there" in line
    assert "health_path" not in line
    assert "canary" not in line


OTHERWISE = """
import flask, otelflask, sys
name, one, other = sys.argv[1:]
development = {"environment": "development"}
otelflask.init(flask.Flask("first"), **{name: one}, **development)
otelflask.init(flask.Flask("second"), **{name: other}, **development)
otelflask.init(flask.Flask("third"), **development)
"""


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("console", "off", "traces"),
        ("log_console", "json", "text"),
        ("health_redis", "", "redis://127.0.0.1/7"),
        ("monitor_size", "500", "600"),
        ("attribute_count", "100", "101"),
    ],
)
def test_a_later_app_that_wants_otherwise_what_a_process_has_once_is_told_both_values(
    name: str, one: str, other: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OTHERWISE, name, one, other],
        env={**os.environ, **NO_EXPORT},
        capture_output=True,
        text=True,
        check=True,
    )
    # The third app has no options, so there is no line for it. With a console, there is one of the start.
    (line,) = [line for line in done.stderr.splitlines() if "otelflask.start" not in line]
    values = [int(value) if value.isdigit() else value for value in (one, other)]
    assert f"{name}={values[1]!r} (the process has {values[0]!r})" in line


def test_each_app_has_a_request_id_header_of_its_own(telemetry: CapturedTelemetry) -> None:
    for name in ("X-First-ID", "X-Second-ID"):
        app = flask.Flask(name)
        otelflask.init(app, runtime_metrics=False, request_id_header=name, **telemetry.providers)
        assert name in app.test_client().get("/").headers


def test_apps_of_a_process_share_their_metrics(telemetry: CapturedTelemetry) -> None:
    for name in ("first", "second"):
        app = flask.Flask(name)
        otelflask.init(app, runtime_metrics=False, **telemetry.providers)
        app.test_client().get("/")
    (point,) = telemetry.points("http.server.request.duration")
    assert point.count == 2
    assert [point.value for point in telemetry.points("http.server.active_requests")] == [0]


ORDERS = """
import sys, flask, otelflask
from opentelemetry.instrumentation.flask import FlaskInstrumentor as Contrib
from otelflask.testing import CapturedTelemetry

telemetry = CapturedTelemetry()
app = flask.Flask("shop")

@app.get("/x")
def x():
    return "x"

def hook(span, environ):
    span.set_attribute("hooked", True)

steps = {
    "init": lambda: otelflask.init(app, runtime_metrics=False, **telemetry.providers),
    "again": lambda: otelflask.init(app),
    "extension": lambda: otelflask.OtelFlask(runtime_metrics=False, **telemetry.providers).init_app(app),
    "ours": lambda: otelflask.FlaskInstrumentor.instrument_app(app, request_hook=hook),
    "contrib": lambda: Contrib().instrument_app(app, request_hook=hook),
}
for name in sys.argv[1].split(","):
    steps[name]()
app.test_client().get("/x")
points = telemetry.points("http.server.request.duration")
print(len([span for span in telemetry.spans if span.name == "GET /x"]), [point.count for point in points],
      len([record for record in telemetry.logs if record.event_name == "http.server.request"]),
      all(span.attributes.get("hooked") for span in telemetry.spans))
"""


@pytest.mark.parametrize(
    "order",
    ["ours,init", "init,ours", "contrib,init", "init,again,ours", "ours,extension,again", "contrib,ours,init,again"],
)
def test_in_any_order_a_request_is_recorded_once_and_no_option_is_lost(order: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORDERS, order], env={**os.environ, **NO_EXPORT}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1 [1] 1 True"


def test_an_environment_of_a_later_app_is_said_to_count_for_that_app() -> None:
    script = """
import flask, otelflask
otelflask.init(flask.Flask("first"))
later = flask.Flask("later")
otelflask.init(later, environment="development")
print(later.test_client().get("/monitoring", environ_base={"REMOTE_ADDR": "127.0.0.1"}).status_code)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **NO_EXPORT}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "200"
    assert "environment='development' only decides which endpoints of this app are open" in done.stderr
    assert "is not used" not in done.stderr


def test_instruments_without_init_say_what_is_repeated_and_take_later_providers() -> None:
    script = """
import flask, otelflask
from otelflask._internal.instrumentation.database.instrumentor import SQLAlchemyInstrumentor
from otelflask._internal.settings import Settings
from otelflask.testing import CapturedTelemetry
from sqlalchemy import create_engine, text

first, second = CapturedTelemetry(), CapturedTelemetry()
app = flask.Flask("shop")
engine = create_engine("sqlite://")

@app.get("/")
def index():
    with engine.connect() as connection:
        for _ in range(8):
            connection.execute(text("SELECT 1"))
    return ""

otelflask.FlaskInstrumentor.instrument_app(app, **first.providers)
SQLAlchemyInstrumentor().instrument(settings=Settings(repeated_query_time=0.0), **first.providers)
app.test_client().get("/")
print(*[record.event_name for record in first.logs])
other = flask.Flask("other")
otelflask.init(other, runtime_metrics=False, **first.providers)
otelflask.FlaskInstrumentor.instrument_app(other, meter_provider=second.meter_provider)
other.test_client().get("/")
print(len(first.points("http.server.request.duration")), len(second.points("http.server.request.duration")))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **NO_EXPORT}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["otelflask.repeated_query http.server.request", "1 1"]


def test_an_environ_with_none_in_it_is_a_request_like_others(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    nothing = dict.fromkeys(("REMOTE_ADDR", "HTTP_USER_AGENT"))
    assert app.test_client().get("/", environ_overrides=nothing).status_code == 404
    (span,) = telemetry.spans
    assert "client.address" not in (span.attributes or {})


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_RESOURCE_ATTRIBUTES": "service.name=orders,deployment.environment.name=blue"},
        {"OTEL_SERVICE_NAME": "orders", "OTELFLASK_ENVIRONMENT": "blue"},
    ],
    ids=str,
)
def test_what_processes_share_they_share_by_the_name_of_the_resource(variables: dict[str, str]) -> None:
    """Users, breakers, mail and health: two services of one machine share none of them, however they are named."""
    script = """
import flask, otelflask
app = flask.Flask("app")
otelflask.init(app, runtime_metrics=False)
telemetry = app.extensions["otelflask"].telemetry
print(telemetry.service, telemetry.breakers.namespace)
"""
    assert _ran(script, **variables)[0] == "orders/blue orders/blue"


def test_a_later_app_with_a_name_of_its_own_is_told_that_of_the_process() -> None:
    script = """
import flask, logging, otelflask
logging.basicConfig()
otelflask.init(flask.Flask("shop"), runtime_metrics=False)
otelflask.init(flask.Flask("other"), service_name="billing")
"""
    assert "service_name='billing' (the process has 'shop')" in _ran(script)[1]


def _ran(script: str, **variables: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **NO_EXPORT, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip(), done.stderr


def test_what_is_no_flask_app_is_named() -> None:
    with pytest.raises(TypeError, match="init takes a Flask app, not 'shop'"):
        otelflask.init("shop")  # type: ignore[arg-type]
