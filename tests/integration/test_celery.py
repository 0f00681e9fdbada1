"""A Celery worker with processes that end after each task, on a real redis: none of their telemetry is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from otelflask.testing import FakeCollector

from .conftest import Serve

pytestmark = pytest.mark.slow

APP = """
import os
from celery import Celery
from flask import Flask

queue = Celery("work", broker=os.environ["BROKER"])
queue.conf.broker_connection_retry_on_startup = True

@queue.task
def ship(order):
    return order

app = Flask("orders")

@app.get("/order/<int:order>")
def order(order):
    ship.delay(order)
    return "ok"
"""
TASKS = 3


def test_each_tasks_span_arrives_in_the_trace_of_the_request_that_asked_for_it(
    serve: Serve, app_dir: Path, redis_url: str
) -> None:
    (app_dir / "work.py").write_text(APP)
    with FakeCollector() as collector:
        variables = {"BROKER": redis_url, "OTELFLASK_RUNTIME_METRICS": "false"}
        command = ["opentelemetry-instrument", "gunicorn", "--bind", "127.0.0.1:{port}", "work:app"]
        server = serve(command, collector, **variables)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL", "PYTEST"))}
        environment |= variables | collector.environment()
        # So long that only the end of a process sends.
        environment["OTEL_BSP_SCHEDULE_DELAY"] = "60000"
        environment["PATH"] = os.path.dirname(sys.executable) + os.pathsep + environment["PATH"]
        options = ["--concurrency", "1", "--max-tasks-per-child", "1", "--loglevel", "error"]
        worker = subprocess.Popen(
            ["opentelemetry-instrument", "celery", "--quiet", "-A", "work.queue", "worker", *options],
            cwd=app_dir,
            env=environment,
        )
        try:
            for order in range(TASKS):
                assert server.get(f"/order/{order}") == (200, "ok")
            end = time.monotonic() + 60
            while time.monotonic() < end:
                ran = [span for span in collector.spans if span.name == "run/work.ship"]
                if len(ran) >= TASKS:
                    break
                time.sleep(0.2)
        finally:
            worker.terminate()
            worker.wait(30)
        server.stop()
        requests = {span.message.trace_id for span in collector.spans if span.name == "GET /order/<int:order>"}
        ran = [span for span in collector.spans if span.name == "run/work.ship"]
        print(
            "SEEN",
            [(s.name, s.resource.get("process.pid")) for s in collector.spans],
            [p.read_text() for p in app_dir.glob("output*")],
        )
        assert len(requests) == TASKS
        assert sorted(span.message.trace_id for span in ran) == sorted(requests)
