"""Answer requests of many kinds, alone or beside parts of the user: ``views.py (alone|beside)``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import flask
import sqlalchemy
from opentelemetry import trace
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import SpanContext, StatusCode, TraceFlags, TraceState

import otelflask
from otelflask.errors import ConflictError

OTHER = SpanContext(0xABC, 0xDEF, True, TraceFlags(1), TraceState([("vendor", "value")]))
app = flask.Flask("shop")
engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
logging.getLogger("shop").addHandler(logging.NullHandler())


class _Spans(SpanProcessor):
    """Sees spans, and does nothing."""


class _Logs(LogRecordProcessor):
    """Sees log records, and does nothing."""

    def on_emit(self, log_record: object) -> None:
        """Nothing."""

    def shutdown(self) -> None:
        """Nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits."""
        return True


@app.get("/ping")
def ping() -> str:
    return "pong"


@app.route("/items/<int:number>", methods=["GET", "POST"])
def item(number: int) -> str:
    otelflask.set_user(f"user {number}")
    return f"item {number}"


@app.get("/span")
def span() -> str:
    current = trace.get_current_span()
    current.set_attribute("list", ["a", "b"])
    current.set_attribute("token", "s3cr3t")
    current.add_event("asked", {"list": [1]})
    current.add_link(OTHER, {"k": 1})
    current.set_status(StatusCode.OK)
    return "done"


@app.get("/named")
def named() -> str:
    trace.get_current_span().update_name("a name of the app")
    trace.get_current_span().set_attribute("http.route", "replaced by the app")
    return "done"


@app.get("/query")
def query() -> str:
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
        connection.execute(sqlalchemy.text("CREATE TABLE IF NOT EXISTS things (id INTEGER, name TEXT)"))
        connection.execute(sqlalchemy.text("INSERT INTO things VALUES (:id, 'hunter2')"), [{"id": 1}, {"id": 2}])
        connection.execute(sqlalchemy.text("UPDATE things SET id = 3"))
        connection.exec_driver_sql("PRAGMA user_version")
        connection.execution_options(no_parameters=True).exec_driver_sql("SELECT 2")
        connection.exec_driver_sql(f"SELECT id FROM things WHERE id IN ({', '.join(['0'] * 20_000)})")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM things"))
        try:
            connection.execute(sqlalchemy.text("SELECT * FROM nothing"))
        except sqlalchemy.exc.OperationalError:
            connection.rollback()
    return "done"


@app.get("/fail")
def fail() -> str:
    raise ValueError("failed with password=hunter2")


@app.get("/fail-late")
def fail_late() -> str:
    trace.get_current_span().add_event("before")
    trace.get_current_span().set_status(StatusCode.OK)
    raise ValueError("failed")


@app.get("/conflict")
def conflict() -> str:
    raise ConflictError("taken", code="already_there")


@app.get("/unavailable")
def unavailable() -> tuple[str, int]:
    return "later", 503


@app.get("/broken")
def broken() -> flask.Response:
    def chunks() -> Iterator[str]:
        yield "first"
        raise OSError("gone")

    return flask.Response(chunks())


otelflask.init(app, runtime_metrics=False, repeated_query_count=1000)
if sys.argv[1] == "beside":
    pipeline = app.extensions["otelflask"].pipeline
    pipeline.tracer_provider.add_span_processor(_Spans())
    pipeline.logger_provider.add_log_record_processor(_Logs())

client = app.test_client()
REMOTE = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=value"}
client.get("/ping")
client.get("/ping", headers={**REMOTE, "X-Shown": "yes", "X-Request-ID": "given"})
client.get("/ping?page=1&api_key=hunter2", headers={"User-Agent": "tester/1.0"}, environ_base={"REMOTE_ADDR": ""})
client.post("/items/7", data=b"body", headers={"X-Request-ID": "odd\x01"})
client.open("/ping", method="BREW")
client.get("/nowhere/\u00e4?q=\udcff".encode("utf-8", "surrogateescape").decode("latin-1"))
client.get(f"/nowhere/{'long/' * 100}?q={'x' * 1_000}")
for path in ("/span", "/named", "/query", "/fail", "/fail-late", "/conflict", "/unavailable"):
    client.get(path)
try:
    client.get("/broken")
except OSError:
    pass
