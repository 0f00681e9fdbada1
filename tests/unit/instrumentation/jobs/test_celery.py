"""Celery's tasks, run by a worker in a thread of this process (solo)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import celery
import pytest
from celery import signals
from celery.contrib.testing.worker import start_worker
from celery.exceptions import Ignore, Reject
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.trace import SpanKind, StatusCode

from otelflask._internal import attribute_names
from otelflask._internal.instrumentation import jobs
from otelflask.testing import CapturedTelemetry

from .shop import Shop

queue = celery.Celery("work", broker="memory://", backend="cache+memory://", set_as_current=False)
queue.conf.broker_transport_options = {"polling_interval": 0.01}


@queue.task(name="logs", shared=False)
def logs() -> None:
    logging.getLogger("work").warning("shipped")


@queue.task(name="fails", shared=False)
def fails() -> None:
    order = 7
    raise LookupError(f"no order {order}")


@queue.task(name="pays", shared=False)
def pays(card: str) -> str:
    raise LookupError("no account")


@queue.task(name="expected", shared=False, throws=(KeyError,))
def expected() -> None:
    raise KeyError("gone")


@queue.task(name="rejects", shared=False)
def rejects() -> None:
    raise Reject("no", requeue=False)


@queue.task(name="ignores", shared=False)
def ignores() -> None:
    raise Ignore


@queue.task(name="retries", shared=False, bind=True)
def retries(self: Any) -> None:
    if self.request.retries < 2:
        raise self.retry(exc=LookupError("busy"), countdown=0)


def _leave_alone(**signal: Any) -> None:
    """Configure nothing: Celery leaves logging as it is where somebody listens."""


@pytest.fixture(scope="module", autouse=True)
def _worker() -> Iterator[None]:
    signals.setup_logging.connect(_leave_alone)
    with start_worker(queue, pool="solo", perform_ping_check=False):
        yield
    signals.setup_logging.disconnect(_leave_alone)


class TaskShop(Shop):
    """An app whose requests send tasks."""

    def ask(self, task: Any, **options: Any) -> None:
        """Have a request send a task."""
        self.app.get("/order")(lambda: task.apply_async(**options).id)
        assert self.app.test_client().get("/order").status_code == 200


@pytest.fixture
def make(telemetry: CapturedTelemetry) -> Iterator[Callable[..., TaskShop]]:
    yield lambda **settings: TaskShop(telemetry, **settings)
    jobs.uninstrument()


@pytest.mark.parametrize("traces", ["parent", "link"])
def test_a_run_is_linked_to_what_asked_for_it_and_in_its_trace_by_setting(
    make: Callable[..., TaskShop], telemetry: CapturedTelemetry, traces: str
) -> None:
    shop = make(job_traces=traces)
    shop.ask(logs)
    (record,) = shop.records()
    (run,) = shop.runs()
    sent = telemetry.span("send logs")
    assert run.name == "process logs"
    assert [link.context.span_id for link in run.links] == [sent.context.span_id]
    assert (run.context.trace_id == sent.context.trace_id) is (traces == "parent")
    assert (run.parent is not None) is (traces == "parent")
    (line,) = [item for item in telemetry.logs if item.body == "shipped"]
    assert line.span_id == record.span_id == run.context.span_id
    assert record.attributes[attribute_names.JOB_RESULT] == "success"
    assert record.attributes["messaging.destination.name"] == "celery"
    assert 0 <= record.attributes[attribute_names.JOB_WAITED] < 20


@pytest.mark.parametrize(
    ("task", "result", "error_type", "severity", "reports"),
    [
        (fails, "failure", "LookupError", "ERROR", 1),
        (expected, "failure", "KeyError", "ERROR", 0),
        (rejects, "rejected", None, "WARN", 0),
        (ignores, "ignored", None, "INFO", 0),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_result_of_a_run(
    make: Callable[..., TaskShop],
    telemetry: CapturedTelemetry,
    task: Any,
    result: str,
    error_type: str | None,
    severity: str,
    reports: int,
) -> None:
    shop = make()
    shop.ask(task)
    (record,) = shop.records()
    (run,) = shop.runs()
    assert (record.attributes[attribute_names.JOB_RESULT], record.severity_text) == (result, severity)
    assert run.attributes.get("error.type") == record.attributes.get("error.type") == error_type
    assert (run.status.status_code is StatusCode.ERROR) is (result == "failure")
    found = shop.reports()
    assert len(found) == reports
    for report in found:
        assert report.span_id == run.context.span_id
        assert report.attributes["exception.message"] == "no order 7"
        assert '"variables":{"order":"7"}' in report.attributes[attribute_names.ERROR_FRAMES]
    labels = {attribute_names.JOB_SYSTEM: "celery", attribute_names.JOB_NAME: task.name}
    more = {} if error_type is None else {"error.type": error_type}
    (point,) = telemetry.points("otelflask.job.duration")
    assert point.attributes == labels | {attribute_names.JOB_RESULT: result} | more
    (active,) = telemetry.points("otelflask.job.active")
    assert (active.attributes, active.value) == (labels, 0)


def test_each_attempt_is_a_run_below_the_one_before(
    make: Callable[..., TaskShop], telemetry: CapturedTelemetry
) -> None:
    shop = make()
    shop.ask(retries)
    records = shop.records(3)
    assert [record.attributes[attribute_names.JOB_RESULT] for record in records] == ["retry", "retry", "success"]
    assert [record.attributes[attribute_names.JOB_RETRIES] for record in records] == [0, 1, 2]
    assert [record.attributes.get("error.type") for record in records] == ["LookupError", "LookupError", None]
    assert len({record.trace_id for record in records}) == 1
    sent = {span.context.span_id: span for span in telemetry.spans if span.name == "send retries"}
    first, second, third = shop.runs()
    assert sent[second.parent.span_id].parent.span_id == first.context.span_id  # type: ignore[union-attr]
    assert sent[third.parent.span_id].parent.span_id == second.context.span_id  # type: ignore[union-attr]
    assert not shop.reports()


def test_lines_of_celery_have_no_arguments(make: Callable[..., TaskShop], telemetry: CapturedTelemetry) -> None:
    shop = make()
    shop.ask(pays, args=("4711 0815",))
    shop.records()
    (line,) = [record for record in telemetry.logs if "raised unexpected" in str(record.body)]
    assert "4711 0815" not in f"{line.body} {line.attributes}"


def test_the_time_in_the_queue_begins_when_a_task_is_due(make: Callable[..., TaskShop]) -> None:
    shop = make()
    shop.ask(logs, countdown=2)
    (record,) = shop.records()
    assert record.attributes[attribute_names.JOB_WAITED] < 2


def test_a_task_that_expires_is_missed(make: Callable[..., TaskShop], telemetry: CapturedTelemetry) -> None:
    shop = make()
    shop.ask(logs, countdown=0.3, expires=0.1)
    (record,) = shop.records()
    assert record.attributes[attribute_names.JOB_RESULT] == "revoked"
    assert str(record.body).endswith("was revoked or has expired, and does not run")
    assert attribute_names.JOB_DURATION not in record.attributes
    assert record.span_id == telemetry.span("send logs").context.span_id
    (point,) = telemetry.points("otelflask.job.missed")
    assert point.value == 1
    assert shop.runs() == []


def test_an_eager_task_is_below_the_request(make: Callable[..., TaskShop], telemetry: CapturedTelemetry) -> None:
    queue.conf.task_always_eager = True
    try:
        make().ask(logs)
    finally:
        queue.conf.task_always_eager = False
    run = telemetry.span("logs")
    assert run.parent is not None
    assert run.parent.span_id == telemetry.span("GET /order").context.span_id


def test_contribs_instrumentation_does_nothing_beside_it(
    make: Callable[..., TaskShop], telemetry: CapturedTelemetry
) -> None:
    CeleryInstrumentor().instrument()
    shop = make()
    CeleryInstrumentor().instrument()
    shop.ask(logs)
    shop.records()
    names = sorted(span.name for span in telemetry.spans if span.kind is not SpanKind.SERVER)
    assert names == ["process logs", "send logs"]
