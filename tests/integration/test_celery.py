"""Celery workers with processes, on a real redis: no run is lost, whatever becomes of its process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from otelflask._internal import event_names
from otelflask.testing import FakeCollector

from .conftest import Serve

pytestmark = pytest.mark.slow

APP = """
import logging
import os
import signal
import time
import billiard.pool
from celery import Celery
from flask import Flask

queue = Celery("work", broker=os.environ["BROKER"])
queue.conf.broker_connection_retry_on_startup = True
queue.conf.task_default_queue = os.environ["QUEUE"]
# Tenths of a second in which a process waits until the worker has read its results.
billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10

@queue.task
def ship(order):
    logging.getLogger("shop").warning("shipped %s", order)
    return order

@queue.task
def fail(order):
    raise LookupError("no such order")

@queue.task
def die(order):
    os.kill(os.getpid(), signal.SIGKILL)

@queue.task
def rest(seconds):
    logging.getLogger("shop").warning("rests in %d", os.getpid())
    time.sleep(seconds)

app = Flask("orders")

@app.get("/<kind>/<int:order>")
def order(kind, order):
    {"ship": ship, "fail": fail, "die": die, "rest": rest}[kind].delay(order)
    return "ok"
"""
Worker = Callable[..., Any]


@pytest.fixture
def worker(app_dir: Path, redis_url: str, request: pytest.FixtureRequest) -> Worker:
    (app_dir / "work.py").write_text(APP)

    @contextmanager
    def run(
        collector: FakeCollector, *options: str, **variables: str
    ) -> Iterator[tuple[dict[str, str], psutil.Process]]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL", "PYTEST"))}
        environment |= {"BROKER": redis_url, "QUEUE": request.node.name, "OTELFLASK_RUNTIME_METRICS": "false"}
        environment |= collector.environment() | variables
        environment["PATH"] = os.path.dirname(sys.executable) + os.pathsep + environment["PATH"]
        process = subprocess.Popen(
            ["opentelemetry-instrument", "celery", "--quiet", "-A", "work.queue", "worker", "-l", "warning", *options],
            cwd=app_dir,
            env=environment,
        )
        try:
            passed = {name: environment[name] for name in ("BROKER", "QUEUE", "OTELFLASK_RUNTIME_METRICS")}
            yield passed, psutil.Process(process.pid)
        finally:
            process.terminate()
            assert process.wait(30) == 0

    return run


def _runs(collector: FakeCollector) -> list[Any]:
    return [line for line in collector.logs if line.message.event_name == event_names.JOB]


def _reports(collector: FakeCollector) -> set[Any]:
    errors = [line for line in collector.logs if line.message.event_name == event_names.EXCEPTION]
    return {line.attributes["exception.type"] for line in errors}


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and not condition():
        time.sleep(0.2)


def test_the_telemetry_of_processes_that_end_after_each_task_arrives(
    serve: Serve, worker: Worker, tmp_path: Path
) -> None:
    tasks = 3
    with FakeCollector() as collector:
        # So long that only the end of a process sends its spans.
        options = ["--concurrency", "1", "--max-tasks-per-child", "1"]
        with worker(collector, *options, OTEL_BSP_SCHEDULE_DELAY="60000") as (variables, _):
            command = ["opentelemetry-instrument", "gunicorn", "--bind", "127.0.0.1:{port}", "work:app"]
            server = serve(command, collector, **variables)
            for order in range(tasks):
                assert server.get(f"/ship/{order}") == (200, "ok")
            _wait(lambda: len([span for span in collector.spans if span.name == "process work.ship"]) == tasks)
        server.stop()
        requests = {span.message.trace_id for span in collector.spans if span.name == "GET /<kind>/<int:order>"}
        ran = [span for span in collector.spans if span.name == "process work.ship"]
        assert len(requests) == tasks
        assert sorted(span.message.trace_id for span in ran) == sorted(requests)
        lines = [line for line in collector.logs if line.name.startswith("shipped")]
        assert sorted(line.message.trace_id for line in lines) == sorted(requests)


def test_the_worker_counts_each_run_also_of_a_process_that_is_killed(serve: Serve, worker: Worker) -> None:
    with FakeCollector() as collector:
        with worker(collector, "--concurrency", "2") as (variables, _):
            command = ["opentelemetry-instrument", "gunicorn", "--bind", "127.0.0.1:{port}", "work:app"]
            server = serve(command, collector, **variables)
            for order in range(4):
                server.get(f"/ship/{order}")
            server.get("/fail/7")
            # The process that dies may be the one that failed, and takes what it has not sent with it.
            _wait(lambda: "LookupError" in _reports(collector))
            server.get("/die/7")
            _wait(lambda: len(_runs(collector)) == 6)
        server.stop()
        results = Counter(
            (line.attributes["otelflask.job.name"], line.attributes["otelflask.job.result"])
            for line in _runs(collector)
        )
        assert results == {("work.ship", "success"): 4, ("work.fail", "failure"): 1, ("work.die", "lost"): 1}
        ((_, labels, point),) = collector.points("otelflask.job.queue.length")
        assert labels == {"otelflask.job.system": "celery", "messaging.destination.name": variables["QUEUE"]}
        # As the worker has last looked.
        assert point.as_int in range(7)
        # One series a worker, and none for its processes.
        assert (
            len({resource["service.instance.id"] for resource, *_ in collector.points("otelflask.job.duration")}) == 1
        )
        assert _reports(collector) == {"LookupError", "billiard.exceptions.WorkerLostError"}
        requests = {span.message.trace_id for span in collector.spans if span.name == "GET /<kind>/<int:order>"}
        assert {line.message.trace_id for line in _runs(collector)} == requests


@pytest.mark.parametrize("is_read", [True, False], ids=["read", "not read"])
def test_a_run_that_the_worker_forgets_at_its_end_counts(serve: Serve, worker: Worker, is_read: bool) -> None:
    with FakeCollector() as collector:
        with worker(collector, "--concurrency", "2") as (variables, process):
            command = ["opentelemetry-instrument", "gunicorn", "--bind", "127.0.0.1:{port}", "work:app"]
            server = serve(command, collector, **variables)
            for order in range(4):
                server.get(f"/ship/{order}")
            _wait(lambda: len(_runs(collector)) == 4)
            pool = process.children()
            if is_read:
                # The worker waits for this one at its end, and reads the results of the other process meanwhile.
                server.get("/rest/6")
                _wait(lambda: any(line.name.startswith("rests in") for line in collector.logs))
                (resting,) = (line.name for line in collector.logs if line.name.startswith("rests in"))
                pool = [child for child in pool if str(child.pid) not in resting]
            for child in pool:
                child.suspend()
            server.get("/ship/9")
            # Time to hand it to a suspended process, and to forget it.
            time.sleep(1)
            process.terminate()
            time.sleep(2)
            for child in pool:
                child.resume()
        server.stop()
        jobs = Counter(line.attributes["otelflask.job.name"] for line in _runs(collector))
        assert jobs == {"work.ship": 5} | ({"work.rest": 1} if is_read else {})
        assert len([span for span in collector.spans if span.name == "process work.ship"]) == 5
