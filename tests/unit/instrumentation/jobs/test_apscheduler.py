"""Jobs of APScheduler, run by its schedulers."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.background import BackgroundScheduler
from flask_apscheduler import APScheduler
from opentelemetry.trace import StatusCode

from otelflask._internal import attribute_names
from otelflask._internal.instrumentation import jobs
from otelflask.testing import CapturedTelemetry

from .shop import Shop

NAME = f"{__name__}."


def logs() -> None:
    logging.getLogger("work").warning("shipped")


def fails() -> None:
    order = 7
    raise LookupError(f"no order {order}")


async def waits() -> None:
    logs()


class ScheduleShop(Shop):
    """An app with a scheduler."""

    def __init__(self, telemetry: CapturedTelemetry, **settings: Any) -> None:
        super().__init__(telemetry, **settings)
        self.scheduler = BackgroundScheduler(timezone=timezone.utc)
        self.scheduler.start()


@pytest.fixture
def make(telemetry: CapturedTelemetry) -> Iterator[Callable[..., ScheduleShop]]:
    shops: list[ScheduleShop] = []

    def made(**settings: Any) -> ScheduleShop:
        shops.append(ScheduleShop(telemetry, **settings))
        return shops[-1]

    yield made
    for shop in shops:
        # A scheduler that is shut down looks in vain for the job that it has just started. This waits until it has.
        shop.scheduler.pause()
        shop.scheduler.get_jobs()
        shop.scheduler.shutdown()
    jobs.uninstrument()


@pytest.fixture
def shop(make: Callable[..., ScheduleShop]) -> ScheduleShop:
    return make()


def test_a_run_of_a_schedule_is_a_trace_of_its_own(shop: ScheduleShop, telemetry: CapturedTelemetry) -> None:
    shop.app.get("/start")(lambda: shop.scheduler.add_job(logs, "interval", seconds=0.2, id="often").id)
    shop.app.test_client().get("/start")
    first, second = shop.records(2)[:2]
    shop.scheduler.remove_all_jobs()
    assert len({first.trace_id, second.trace_id, telemetry.span("GET /start").context.trace_id}) == 3
    line = next(item for item in telemetry.logs if item.body == "shipped")
    assert line.span_id == first.span_id
    assert first.attributes[attribute_names.JOB_NAME] == f"{NAME}logs"
    assert first.attributes[attribute_names.JOB_ID] == "often"
    assert first.attributes[attribute_names.JOB_RESULT] == "success"
    assert 0 <= first.attributes[attribute_names.JOB_WAITED] < 20


@pytest.mark.parametrize("traces", ["parent", "link"])
def test_a_job_that_runs_once_is_linked_to_the_request_and_in_its_trace_by_setting(
    make: Callable[..., ScheduleShop], telemetry: CapturedTelemetry, traces: str
) -> None:
    shop = make(job_traces=traces)
    shop.app.get("/order")(lambda: shop.scheduler.add_job(logs).id)
    shop.app.test_client().get("/order")
    shop.records()
    run, request = telemetry.span(f"{NAME}logs"), telemetry.span("GET /order")
    assert [link.context.span_id for link in run.links] == [request.context.span_id]
    assert (run.parent is not None) is (traces == "parent")
    assert (run.context.trace_id == request.context.trace_id) is (traces == "parent")


def test_a_job_that_fails_is_reported_once_with_its_variables(shop: ScheduleShop, telemetry: CapturedTelemetry) -> None:
    shop.scheduler.add_job(fails)
    (record,) = shop.records()
    run = telemetry.span(f"{NAME}fails")
    assert run.status.status_code is StatusCode.ERROR
    assert (record.attributes[attribute_names.JOB_RESULT], record.severity_text) == ("failure", "ERROR")
    telemetry.wait_for(lambda: [item for item in telemetry.logs if "raised an exception" in str(item.body)])
    (report,) = shop.reports()
    assert report.span_id == run.context.span_id
    assert '"variables":{"order":"7"}' in report.attributes[attribute_names.ERROR_FRAMES]


def test_a_job_that_is_too_late_is_missed(shop: ScheduleShop, telemetry: CapturedTelemetry) -> None:
    shop.scheduler.add_job(
        logs, run_date=datetime.now(timezone.utc) - timedelta(hours=1), misfire_grace_time=1, id="late"
    )
    (record,) = shop.records()
    assert (record.attributes[attribute_names.JOB_RESULT], record.severity_text) == ("missed", "WARN")
    assert not [span for span in telemetry.spans if span.name == f"{NAME}logs"]
    (point,) = telemetry.points("otelflask.job.missed")
    assert (point.value, point.attributes[attribute_names.JOB_NAME]) == (1, f"{NAME}logs")


def test_a_job_whose_last_run_goes_on_is_missed(shop: ScheduleShop, telemetry: CapturedTelemetry) -> None:
    go_on = threading.Event()

    def slow() -> None:
        go_on.wait(30)

    job = shop.scheduler.add_job(slow, "interval", seconds=0.2)
    (record,) = shop.records()[:1]
    job.remove()
    go_on.set()
    assert record.attributes[attribute_names.JOB_RESULT] == "missed"


def test_a_coroutine_is_recorded(telemetry: CapturedTelemetry, shop: ScheduleShop) -> None:
    async def serve() -> None:
        scheduler = AsyncIOScheduler(timezone=timezone.utc)
        scheduler.start()
        scheduler.add_job(waits)
        while not telemetry.logs:
            await asyncio.sleep(0.02)
        scheduler.shutdown()

    asyncio.run(asyncio.wait_for(serve(), 30))
    (record,) = shop.records()
    run = telemetry.span(f"{NAME}waits")
    assert record.span_id == run.context.span_id


def test_flask_apscheduler_is_recorded(shop: ScheduleShop, telemetry: CapturedTelemetry) -> None:
    extension = APScheduler(shop.scheduler)
    extension.app = shop.app
    extension.add_job(id="once", func=f"{__name__}:logs")
    (record,) = shop.records()
    assert record.attributes[attribute_names.JOB_ID] == "once"


def test_undoing_leaves_what_was_there(shop: ScheduleShop) -> None:
    from apscheduler.executors import base, pool

    assert base.run_job is pool.run_job
    jobs.uninstrument()
    assert base.run_job is pool.run_job
    assert not hasattr(base.run_job, "__wrapped__")
    assert ThreadPoolExecutor is pool.ThreadPoolExecutor
