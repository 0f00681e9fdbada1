"""Print the tracked objects that a request leaves behind while nothing is sent: ``waiting.py ROUTE REQUESTS``."""

from __future__ import annotations

import gc
import logging
import sys

import flask
import sqlalchemy
from opentelemetry import trace

import otelflask

app = flask.Flask("shop")
engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
logging.getLogger("shop").addHandler(logging.NullHandler())


@app.get("/ping")
def ping() -> str:
    return "pong"


@app.get("/say")
def say() -> str:
    span = trace.get_current_span()
    span.set_attribute("items", ["a", "b"])
    span.add_event("asked", {"list": [1]})
    with trace.get_tracer("shop").start_as_current_span("inner", attributes={"list": ["c"]}):
        app.logger.warning("said", extra={"detail": {"list": [1]}})
    return "said"


@app.get("/query")
def query() -> str:
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
        connection.execute(sqlalchemy.text("CREATE TABLE IF NOT EXISTS things (id INTEGER)"))
    return "done"


@app.get("/fail")
def fail() -> str:
    raise ValueError("failed")


otelflask.init(app, runtime_metrics=False)
pipeline = app.extensions["otelflask"].pipeline
route, requests = sys.argv[1], int(sys.argv[2])
client = app.test_client()


def ask() -> None:
    for _ in range(requests):
        client.get(route)


def tracked() -> int:
    pipeline.handover.drain()
    for _ in range(8):
        # Each full collection untracks the tuples whose items it has untracked before.
        gc.collect()
    return len(gc.get_objects())


ask()
before = tracked()
ask()
print((tracked() - before) / requests, sum(map(len, pipeline.queues)) / requests / 2)
