"""An RQ worker, which forks for each job, on a real redis: no run is lost, whatever becomes of its process."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue
from rq.command import send_stop_job_command

from otelflask._internal import event_names
from otelflask.testing import FakeCollector

pytestmark = pytest.mark.slow

JOBS = """
import logging
import os
import signal
import time
import flask
import otelflask

app = flask.Flask("orders")
__INIT__

def ship(order):
    logging.getLogger("shop").warning("shipped %s", order)

def fail(order):
    raise LookupError("no such order")

def die(order):
    os.kill(os.getpid(), signal.SIGKILL)

def wait(order):
    time.sleep(60)
"""
PROGRAM = """
import os
import redis
import work
from rq import Queue, Worker

connection = redis.Redis.from_url(os.environ["BROKER"])
Worker([Queue(os.environ["QUEUE"], connection=connection)], connection=connection).work()
"""


class Shop:
    """A queue, and a worker for it that sends its telemetry."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url, self.name = folder, url, uuid.uuid4().hex
        self.connection = redis.Redis.from_url(url)
        self.queue = Queue(self.name, connection=self.connection)

    @contextmanager
    def worker(self, collector: FakeCollector, command: list[str], **variables: str) -> Iterator[None]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL", "PYTEST"))}
        environment |= {"BROKER": self.url, "QUEUE": self.name, "OTELFLASK_RUNTIME_METRICS": "false"}
        environment |= {"PYTHONPATH": str(self.folder)} | collector.environment() | variables
        environment["PATH"] = os.path.dirname(sys.executable) + os.pathsep + environment["PATH"]
        process = subprocess.Popen(command, cwd=self.folder, env=environment)
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(30) == 0


@pytest.fixture
def shop(app_dir: Path, redis_url: str) -> Iterator[Shop]:
    made = Shop(app_dir, redis_url)
    yield made
    made.connection.close()


def _runs(collector: FakeCollector) -> list[Any]:
    return [line for line in collector.logs if line.message.event_name == event_names.JOB]


def _results(collector: FakeCollector) -> Counter[tuple[str, str]]:
    return Counter(
        (line.attributes["otelflask.job.name"], line.attributes["otelflask.job.result"]) for line in _runs(collector)
    )


@pytest.mark.parametrize("way", ["zero code", "init"])
def test_the_worker_counts_each_run_also_of_a_horse_that_is_killed(shop: Shop, way: str) -> None:
    is_zero = way == "zero code"
    (shop.folder / "work.py").write_text(JOBS.replace("__INIT__", "" if is_zero else "otelflask.init(app)"))
    (shop.folder / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py"]
    if is_zero:
        command = ["opentelemetry-instrument", "rq", "worker", "--quiet", "--url", shop.url, shop.name]
    with FakeCollector() as collector:
        with shop.worker(collector, command):
            for order in range(3):
                shop.queue.enqueue("work.ship", order)
            shop.queue.enqueue("work.fail", 7)
            shop.queue.enqueue("work.die", 7)
            stopped = shop.queue.enqueue("work.wait", 7)
            collector.wait_for(lambda: len(_runs(collector)) == 5 and stopped.get_status() == "started")
            send_stop_job_command(shop.connection, stopped.id)
            collector.wait_for(lambda: len(_runs(collector)) == 6)
        assert _results(collector) == {
            ("work.ship", "success"): 3,
            ("work.fail", "failure"): 1,
            ("work.die", "lost"): 1,
            ("work.wait", "revoked"): 1,
        }
        spans = Counter(span.name for span in collector.spans if span.name.startswith("process "))
        assert spans == {"process work.ship": 3, "process work.fail": 1}
        lines = [line for line in collector.logs if line.name.startswith("shipped")]
        of_ships = {line.message.trace_id for line in _runs(collector) if "success" in line.attributes.values()}
        assert {line.message.trace_id for line in lines} == of_ships
        assert len(of_ships) == 3
        # One series a worker, and none for its work horses.
        assert (
            len({resource["service.instance.id"] for resource, *_ in collector.points("otelflask.job.duration")}) == 1
        )
        errors = [line for line in collector.logs if line.message.event_name in event_names.REPORTS]
        types = sorted(line.attributes["exception.type"] for line in errors)
        assert types == ["LookupError", "otelflask.JobLostError"]
        active = [point.as_int for *_, point in collector.points("otelflask.job.active")]
        assert set(active) == {0}


def test_jobs_are_recorded_where_only_their_module_starts_telemetry(shop: Shop) -> None:
    (shop.folder / "work.py").write_text(JOBS.replace("__INIT__", "otelflask.init(app)"))
    command = [os.path.join(os.path.dirname(sys.executable), "rq"), "worker", "--quiet", "--url", shop.url, shop.name]
    with FakeCollector() as collector:
        with shop.worker(collector, command):
            for kind in ("ship", "fail"):
                shop.queue.enqueue(f"work.{kind}", 7)
            collector.wait_for(lambda: len(_runs(collector)) == 2)
        assert _results(collector) == {("work.ship", "success"): 1, ("work.fail", "failure"): 1}
        spans = {span.name: span.message.trace_id for span in collector.spans if span.name.startswith("process ")}
        (line,) = [line for line in collector.logs if line.name.startswith("shipped")]
        assert line.message.trace_id == spans["process work.ship"]
        (report,) = [line for line in collector.logs if line.message.event_name in event_names.REPORTS]
        assert report.message.trace_id == spans["process work.fail"]


def test_the_length_of_a_queue_is_measured_by_its_worker(shop: Shop) -> None:
    (shop.folder / "work.py").write_text(JOBS.replace("__INIT__", "otelflask.init(app)"))
    (shop.folder / "program.py").write_text(PROGRAM)
    with FakeCollector() as collector:
        running = shop.queue.enqueue("work.wait", 7)
        for order in range(3):
            shop.queue.enqueue("work.ship", order)
        with shop.worker(collector, [sys.executable, "program.py"], OTEL_METRIC_EXPORT_INTERVAL="500"):

            def lengths() -> set[int]:
                return {point.as_int for *_, point in collector.points("otelflask.job.queue.length")}

            # The worker looks when it begins, before or after it takes the first.
            collector.wait_for(lambda: lengths() & {3, 4})
            send_stop_job_command(shop.connection, running.id)
            collector.wait_for(lambda: len(_runs(collector)) == 4)
        (point,) = collector.points("otelflask.job.queue.length")
        assert point[1] == {"otelflask.job.system": "rq", "messaging.destination.name": shop.name}
