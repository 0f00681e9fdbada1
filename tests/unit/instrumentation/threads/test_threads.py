"""Work that a request starts in threads belongs to the request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import flask
import pytest
import sentry_sdk
import sqlalchemy as sa
from opentelemetry import trace

import otelflask
from otelflask._internal import attribute_names, event_names
from otelflask.testing import CapturedTelemetry
from tests.unit.instrumentation.threads.ways import (
    WAYS,
    Work,
    add_view,
    in_executor,
    in_thread,
    in_thread_with_its_own_run,
    log,
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_lines_statements_and_ids_are_the_requests(
    app: flask.Flask, telemetry: CapturedTelemetry, way: Callable[[Work], Any]
) -> None:
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)
    ids: list[str | None] = []

    def work() -> None:
        log.warning("counted")
        ids.append(otelflask.get_request_id())
        with engine.connect() as connection:
            connection.execute(sa.text("select 1"))

    add_view(app, way, work)
    answer = app.test_client().get("/orders/7", headers={"X-Request-ID": "request-7"})
    assert (answer.status_code, ids) == (200, ["request-7"])
    request = telemetry.span("GET /orders/<int:number>")
    (line,) = [record for record in telemetry.logs if record.body == "counted"]
    assert (line.trace_id, line.attributes["user.id"]) == (request.context.trace_id, "ada")
    (statement,) = [span for span in telemetry.spans if span.kind is trace.SpanKind.CLIENT]
    assert statement.parent is not None
    assert statement.parent.span_id == request.context.span_id
    assert request.attributes is not None
    assert request.attributes["otelflask.db.query.count"] == 1


@pytest.mark.parametrize(
    "way", [in_thread, in_thread_with_its_own_run, in_executor], ids=lambda way: way.__name__.strip("_")
)
def test_an_error_of_a_thread_is_reported_with_the_request_and_its_scopes(
    app: flask.Flask, telemetry: CapturedTelemetry, way: Callable[[Work], Any]
) -> None:
    def work() -> None:
        try:
            raise LookupError("no such order")
        except LookupError:
            log.exception("failed")

    @app.get("/orders/<int:number>")
    def view(number: int) -> str:
        sentry_sdk.set_tag("shop", "north")
        way(work)
        return "done"

    app.test_client().get("/orders/7", headers={"X-Request-ID": "request-7"})
    (report,) = [record for record in telemetry.logs if record.event_name == event_names.EXCEPTION]
    assert report.trace_id == telemetry.span("GET /orders/<int:number>").context.trace_id
    assert report.attributes["http.route"] == "/orders/<int:number>"
    assert report.attributes[attribute_names.REQUEST_ID] == "request-7"


def test_an_exception_that_ends_a_thread_is_reported_in_the_requests_trace(
    app: flask.Flask, telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)

    def work() -> None:
        raise LookupError("no such order")

    add_view(app, in_thread, work)
    app.test_client().get("/orders/7")
    (report,) = [record for record in telemetry.logs if record.event_name == event_names.EXCEPTION]
    assert report.trace_id == telemetry.span("GET /orders/<int:number>").context.trace_id
    assert report.attributes["http.route"] == "/orders/<int:number>"
    assert report.attributes[attribute_names.ERROR_HANDLED] is False


def test_a_thread_that_outlives_the_request_keeps_its_ids_and_is_reported_at_once(
    app: flask.Flask, telemetry: CapturedTelemetry
) -> None:
    ended = threading.Event()

    def work() -> None:
        ended.wait(60)
        log.info("a crumb")
        try:
            raise LookupError("no such order")
        except LookupError:
            log.exception("failed")

    started: list[threading.Thread] = []

    @app.get("/orders")
    def view() -> str:
        sentry_sdk.set_tag("shop", "north")
        otelflask.set_user("ada")
        started.append(threading.Thread(target=work))
        started[0].start()
        return "done"

    app.test_client().get("/orders", headers={"X-Request-ID": "request-7"})
    request = telemetry.span("GET /orders")
    telemetry.clear()
    ended.set()
    started[0].join()
    lines = {record.event_name or record.body: record for record in telemetry.logs}
    assert {record.trace_id for record in lines.values()} == {request.context.trace_id}
    report = lines[event_names.EXCEPTION].attributes
    found = [report[name] for name in ("http.route", "user.id", attribute_names.REQUEST_ID)]
    assert found == ["/orders", "ada", "request-7"]
    assert "north" in str(report)


def test_errors_of_many_threads_at_the_end_of_the_request_are_reported_once_each(
    app: flask.Flask, telemetry: CapturedTelemetry
) -> None:
    count, started = 40, []

    def work(number: int) -> None:
        log.error("order %d failed", number)

    @app.get("/orders")
    def view() -> str:
        for number in range(count):
            started.append(threading.Thread(target=work, args=(number,)))
            started[-1].start()
        return "done"

    for _ in range(5):
        app.test_client().get("/orders")
        for thread in started:
            thread.join()
    counted = sum(point.value for point in telemetry.points("otelflask.errors"))
    assert counted == 5 * count
