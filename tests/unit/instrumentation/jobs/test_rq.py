"""RQ's jobs on a real redis, run by a worker in this process."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from opentelemetry.trace import StatusCode
from rq import Queue, Retry, SimpleWorker
from rq.timeouts import TimerDeathPenalty

from otelflask._internal import attribute_names
from otelflask._internal.instrumentation import jobs
from otelflask.testing import CapturedTelemetry

from . import rq_jobs
from .shop import Shop


class Worker(SimpleWorker):
    """A worker that may run in any thread."""

    death_penalty_class = TimerDeathPenalty

    def _install_signal_handlers(self) -> None:
        pass


class QueueShop(Shop):
    """An app whose requests send jobs."""

    def __init__(self, telemetry: CapturedTelemetry, url: str, **settings: Any) -> None:
        super().__init__(telemetry, libraries="none", **settings)
        self.connection = redis.Redis.from_url(url)
        self.queue = Queue(f"orders-{uuid.uuid4().hex}", connection=self.connection)

    def ask(self, send: Callable[[], Any]) -> None:
        """Have a request send a job."""
        self.app.get("/order")(lambda: str(send()))
        assert self.app.test_client().get("/order").status_code == 200

    def work(self, **options: Any) -> None:
        """Run what waits."""
        Worker([self.queue], connection=self.connection).work(burst=True, logging_level="ERROR", **options)

    def work_until(self, count: int) -> list[Any]:
        """Run what is due until so many runs have ended."""
        deadline = time.monotonic() + 60
        while len(self.records(0)) < count and time.monotonic() < deadline:
            self.work(with_scheduler=True)
            time.sleep(0.05)
        return self.records(count)


@pytest.fixture
def make(telemetry: CapturedTelemetry, redis_url: str) -> Iterator[Callable[..., QueueShop]]:
    shops: list[QueueShop] = []

    def made(**settings: Any) -> QueueShop:
        shops.append(QueueShop(telemetry, redis_url, **settings))
        return shops[-1]

    yield made
    for shop in shops:
        shop.connection.close()
    jobs.uninstrument()


@pytest.mark.parametrize("traces", ["parent", "link"])
def test_a_run_is_linked_to_what_asked_for_it_and_in_its_trace_by_setting(
    make: Callable[..., QueueShop], telemetry: CapturedTelemetry, traces: str
) -> None:
    shop = make(job_traces=traces)
    shop.ask(lambda: shop.queue.enqueue(rq_jobs.logs))
    shop.work()
    (record,), (run,) = shop.records(), shop.runs()
    sent = telemetry.span("send tests.unit.instrumentation.jobs.rq_jobs.logs")
    assert sent.parent is not None
    assert sent.parent.span_id == telemetry.span("GET /order").context.span_id
    assert run.name == "process tests.unit.instrumentation.jobs.rq_jobs.logs"
    assert [link.context.span_id for link in run.links] == [sent.context.span_id]
    assert (run.context.trace_id == sent.context.trace_id) is (traces == "parent")
    assert (run.parent is not None) is (traces == "parent")
    (line,) = [item for item in telemetry.logs if item.body == "shipped"]
    assert line.span_id == record.span_id == run.context.span_id
    assert record.attributes[attribute_names.JOB_RESULT] == "success"
    assert record.attributes["messaging.destination.name"] == shop.queue.name
    assert 0 <= record.attributes[attribute_names.JOB_WAITED] < 20


def test_a_job_that_fails_is_reported_once_with_its_variables(
    make: Callable[..., QueueShop], telemetry: CapturedTelemetry
) -> None:
    shop = make()
    shop.ask(lambda: shop.queue.enqueue(rq_jobs.fails))
    shop.work()
    (record,), (run,) = shop.records(), shop.runs()
    assert (record.attributes[attribute_names.JOB_RESULT], record.severity_text) == ("failure", "ERROR")
    assert run.status.status_code is StatusCode.ERROR
    (report,) = shop.reports()
    assert report.span_id == run.context.span_id
    assert report.attributes["exception.type"] == "LookupError"
    assert '"variables":{"order":"7"}' in report.attributes[attribute_names.ERROR_FRAMES]
    (point,) = telemetry.points("otelflask.job.duration")
    assert point.attributes == {
        attribute_names.JOB_SYSTEM: "rq",
        attribute_names.JOB_NAME: "tests.unit.instrumentation.jobs.rq_jobs.fails",
        attribute_names.JOB_RESULT: "failure",
        "error.type": "LookupError",
    }


def test_lines_of_rq_have_no_arguments(make: Callable[..., QueueShop], telemetry: CapturedTelemetry) -> None:
    shop = make()
    shop.ask(lambda: shop.queue.enqueue(rq_jobs.pays, "4711 0815", kind="a gold card"))
    shop.work()
    (line,) = [record for record in telemetry.logs if "exception raised while" in str(record.body)]
    for argument in ("4711 0815", "a gold card"):
        assert argument not in f"{line.body} {line.attributes}"


@pytest.mark.parametrize(
    ("job", "results"),
    [(rq_jobs.fails, ["retry", "retry", "failure"]), (rq_jobs.asks_again, ["retry", "success"])],
    ids=["after an exception", "by its result"],
)
def test_each_attempt_is_a_run(
    make: Callable[..., QueueShop], telemetry: CapturedTelemetry, job: Callable[[], Any], results: list[str]
) -> None:
    shop = make()
    retry = Retry(max=2) if job is rq_jobs.fails else None
    shop.ask(lambda: shop.queue.enqueue(job, retry=retry))
    shop.work()
    shop.work()
    records = shop.records()
    assert [record.attributes[attribute_names.JOB_RESULT] for record in records] == results
    assert [record.attributes[attribute_names.JOB_RETRIES] for record in records] == list(range(len(records)))
    assert len({record.trace_id for record in records}) == 1


def test_attempts_after_a_while_are_in_one_trace(make: Callable[..., QueueShop]) -> None:
    shop = make()
    shop.ask(lambda: shop.queue.enqueue(rq_jobs.fails, retry=Retry(max=2, interval=1)))
    records = shop.work_until(3)
    assert [record.attributes[attribute_names.JOB_RESULT] for record in records] == ["retry", "retry", "failure"]
    assert [record.attributes[attribute_names.JOB_RETRIES] for record in records] == [0, 1, 2]
    assert len({record.trace_id for record in records}) == 1


def test_a_queue_without_workers_reports_a_job_that_fails(
    make: Callable[..., QueueShop], telemetry: CapturedTelemetry
) -> None:
    shop = make()
    at_once = Queue(shop.queue.name, connection=shop.connection, is_async=False)
    shop.ask(lambda: at_once.enqueue(rq_jobs.fails, retry=Retry(max=2)))
    (record,) = shop.records()
    assert record.attributes[attribute_names.JOB_RESULT] == "failure"
    assert len(shop.reports()) == 1


def test_a_scheduled_job_has_the_trace_of_its_request_and_waits_from_when_it_is_due(
    make: Callable[..., QueueShop], telemetry: CapturedTelemetry
) -> None:
    shop = make()
    shop.ask(lambda: shop.queue.enqueue_in(timedelta(seconds=2), rq_jobs.logs))
    (record,) = shop.work_until(1)
    assert record.trace_id == telemetry.span("GET /order").context.trace_id
    assert record.attributes[attribute_names.JOB_WAITED] < 2


def test_jobs_that_are_sent_together_have_the_trace_of_their_request(
    make: Callable[..., QueueShop], telemetry: CapturedTelemetry
) -> None:
    shop = make()
    shop.ask(lambda: shop.queue.enqueue_many([Queue.prepare_data(rq_jobs.logs), Queue.prepare_data(rq_jobs.waits)]))
    shop.work()
    assert {record.trace_id for record in shop.records()} == {telemetry.span("GET /order").context.trace_id}
    assert len(shop.records()) == 2


def test_a_queue_without_workers_runs_a_job_within_the_request(
    make: Callable[..., QueueShop], telemetry: CapturedTelemetry
) -> None:
    shop = make()
    at_once = Queue(shop.queue.name, connection=shop.connection, is_async=False)
    shop.ask(lambda: at_once.enqueue(rq_jobs.logs))
    (run,) = shop.runs()
    assert run.context.trace_id == telemetry.span("GET /order").context.trace_id
