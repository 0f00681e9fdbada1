"""The one wiring: what a process has once, and what is installed into each app, in any order."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import flask
import pytest

import otelflask
from otelflask.errors.reports import Reports
from otelflask.http.metrics import HttpMetrics
from otelflask.options import Hooks, InitOptions
from otelflask.record import RequestRecord
from otelflask.settings import SettingError, Settings
from otelflask.testing import CapturedTelemetry, FakeCollector
from tests.integration.conftest import NO_EXPORT

SCRIPT = """
import flask, otelflask
from otelflask import wiring
from otelflask.settings import Settings

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
    assert "log_level='error' (it has 'notset'), breaker_redis='redis://[redacted]@localhost/0' (it has '')" in line
    assert "error_fingerprint is not used" in line
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
    # The third, which wants nothing, is told nothing.
    (line,) = done.stderr.splitlines()
    values = [int(value) if value.isdigit() else value for value in (one, other)]
    assert f"{name}={values[1]!r} (it has {values[0]!r})" in line


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


def test_observers_stand_in_one_list_in_the_order_in_which_they_are_told(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, environment="development", **telemetry.providers)
    names = [type(observer).__name__ for observer in app.extensions["otelflask"].telemetry.observers]
    assert names == ["RequestQueries", "ActiveUsers", "HttpMetrics", "RequestLog", "Reports", "Ring"]


def test_an_observer_that_raises_costs_neither_the_app_nor_the_others_anything(
    telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTELFLASK_GUARD", "swallow")
    monkeypatch.setattr(HttpMetrics, "opened", lambda self, record: 1 / 0)
    monkeypatch.setattr(HttpMetrics, "closed", lambda self, record: 1 / 0)
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    assert app.test_client().get("/").status_code == 404
    assert [span.name for span in telemetry.spans] == ["GET"]
    assert [record.event_name for record in telemetry.logs] == ["http.server.request"]
    assert "telemetry error in closing a request" in caplog.text


def test_what_ends_one_observer_does_not_keep_the_others_from_the_end(
    telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: HttpMetrics, record: RequestRecord) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(HttpMetrics, "closed", stopped)
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    with pytest.raises(KeyboardInterrupt):
        app.test_client().get("/")
    assert [span.name for span in telemetry.spans] == ["GET"]
    assert [record.event_name for record in telemetry.logs] == ["http.server.request"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"helth_path": "/up"}, "'helth_path' is no setting of otelflask; did you mean health_path? allowed are"),
        ({"tracer_providers": None}, "did you mean tracer_provider?"),
        ({"error_render": print}, "did you mean error_renderer?"),
        ({"xyzzy": 1}, "'xyzzy' is no setting of otelflask; allowed are"),
    ],
)
def test_an_option_that_does_not_exist_is_an_error_that_names_the_nearest(
    options: dict[str, object], said: str
) -> None:
    with pytest.raises(SettingError) as caught:
        otelflask.init(flask.Flask("shop"), **options)  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_a_misspelt_key_of_the_config_names_the_nearest() -> None:
    app = flask.Flask("shop")
    app.config["OTELFLASK_LOG_DIRECTORY"] = "/tmp"
    with pytest.raises(SettingError, match=r"did you mean OTELFLASK_LOG_DIR\?"):
        otelflask.init(app)


def test_the_typed_options_are_the_settings_and_the_hooks() -> None:
    settings = {item.name: item for item in fields(Settings)}
    typed = {name: str(kind) for name, kind in InitOptions.__annotations__.items()}
    hooks = set(Hooks.__annotations__)
    assert set(typed) - hooks == set(settings)
    for name, item in settings.items():
        choices = item.metadata["choices"]
        said = typed[name]
        if choices:
            assert [f"'{choice}'" in said or f'"{choice}"' in said for choice in choices] == [True] * len(choices), name
        else:
            assert str(item.type) in said or "Texts" in said, name


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


HELD = """
import _thread, gc, logging, os, signal, sys, threading
import flask, otelflask
from otelflask.breaker import CircuitBreaker
from sqlalchemy import create_engine, text

app = flask.Flask("shop")
breaker = CircuitBreaker("payments")
engine = create_engine(f"sqlite:///{sys.argv[1]}/shop.sqlite3")
otelflask.init(app, console="traces", log_dir=sys.argv[1], state_dir=sys.argv[1], metrics_path="/metrics",
               environment="development", profile_share=1.0, profile_slow=0.0, slow_query_threshold=0.0,
               mail_to="a@b.example", mail_from="a@b.example", mail_server="127.0.0.1:9", mail_security="none")

@app.get("/x")
def x():
    app.logger.error("line")
    otelflask.event("order.placed")
    otelflask.set_user("ann")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return breaker.call(lambda: "x")

def ask():
    assert app.test_client().get("/x").status_code == 200
    for path in ("/health", "/metrics", "/monitoring"):
        assert app.test_client().get(path, environ_base={"REMOTE_ADDR": "127.0.0.1"}).status_code == 200, path
    otelflask.flush(3)

ask()
kinds = (type(threading.Lock()), type(threading.RLock()))
held = []
for owner in gc.get_objects():
    name = str(type(owner).__module__)
    names = vars(owner) if name.startswith("otelflask") and hasattr(owner, "__dict__") else {}
    if isinstance(owner, type(sys)) and owner.__name__.startswith("otelflask"):
        names = vars(owner)
    for attribute, value in list(names.items()):
        if isinstance(value, kinds):
            held.append((f"{type(owner).__qualname__}.{attribute}", value))
        elif isinstance(value, (threading.Condition, threading.Event)):
            held.append((f"{type(owner).__qualname__}.{attribute}", getattr(value, "_lock", None) or value._cond._lock))

ready = threading.Event()

def hold():
    for _, lock in held:
        lock.acquire(timeout=1)
    ready.set()
    threading.Event().wait()

threading.Thread(target=hold, daemon=True).start()
ready.wait(60)
pid = os.fork()
if pid == 0:
    signal.alarm(30)
    ask()
    otelflask.init(flask.Flask("another"))
    os._exit(0)
status = os.waitpid(pid, 0)[1]
print(status, len({name for name, _ in held}))
os._exit(0)
"""


def test_a_child_forked_while_all_locks_are_held_goes_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELD, str(tmp_path)],
        env={**os.environ, **NO_EXPORT},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout, done.stderr[-3_000:]
    status, locks = done.stdout.split()[-2:]
    assert status == "0", done.stderr[-3_000:]
    assert int(locks) > 10


def test_a_wrong_option_is_an_error_for_a_type_checker_too() -> None:
    # mypy fails where one of these is not needed.
    with pytest.raises(SettingError, match="did you mean health_path"):
        otelflask.init(flask.Flask("shop"), helth_path="/up")  # type: ignore[call-arg]
    with pytest.raises(SettingError, match="allowed are off, traces"):
        otelflask.init(flask.Flask("shop"), console="pretty")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="did you mean"):
        otelflask.OtelFlask(flask.Flask("shop"), request_hooks=print)  # type: ignore[call-arg]


def test_what_surrounds_a_request_and_raises_does_not_reach_the_app(
    telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(observer: object, record: RequestRecord) -> None:
        raise LookupError("no scopes")

    monkeypatch.setenv("OTELFLASK_GUARD", "swallow")
    monkeypatch.setattr(Reports, "around", fail)
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    assert app.test_client().get("/").status_code == 404
    assert len(telemetry.spans) == 1


def test_an_option_that_is_none_is_as_if_it_were_not_given(
    telemetry: CapturedTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, rollback_sessions=None, log_dir=None, runtime_metrics=False, **telemetry.providers)
    otelflask.init(app, service_name=None, user=None)
    assert "ignores" not in caplog.text


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
    assert "environment='development' counts for what this app opens" in done.stderr
    assert "is not used" not in done.stderr


def test_instruments_without_init_say_what_is_repeated_and_take_later_providers() -> None:
    script = """
import flask, otelflask
from otelflask.database.instrumentor import SQLAlchemyInstrumentor
from otelflask.settings import Settings
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


@pytest.mark.parametrize(
    "name", ["request_hook", "response_hook", "error_renderer", "error_fingerprint", "user", "may_monitor"]
)
def test_a_hook_that_is_no_function_is_an_error(telemetry: CapturedTelemetry, name: str) -> None:
    with pytest.raises(SettingError, match=f"{name} is 'bob'; allowed is a function"):
        otelflask.init(flask.Flask("shop"), **{name: "bob"}, **telemetry.providers)  # type: ignore[arg-type]


def test_the_same_options_given_again_are_not_said_to_be_ignored(
    telemetry: CapturedTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    app = flask.Flask("shop")
    extension = otelflask.OtelFlask(app, health_path="/up", runtime_metrics=False, **telemetry.providers)
    extension.init_app(app)
    otelflask.init(app, health_path="/up")
    assert "ignores" not in caplog.text
    otelflask.init(app, health_path="/down")
    assert "ignores health_path" in caplog.text


def test_a_later_app_with_a_name_of_its_own_is_told_that_of_the_process() -> None:
    script = """
import flask, logging, otelflask
logging.basicConfig()
otelflask.init(flask.Flask("shop"), runtime_metrics=False)
otelflask.init(flask.Flask("other"), service_name="billing")
"""
    assert "service_name='billing' (it has 'shop')" in _ran(script)[1]


def _ran(script: str, **variables: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **NO_EXPORT, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip(), done.stderr
