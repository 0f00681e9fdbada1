"""What of a request does not go on in its threads, and what telemetry must not change there."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.instrumentation.threading import ThreadingInstrumentor

import otelflask
from otelflask._internal.instrumentation import threads
from otelflask._internal.lifecycle.background_task import BackgroundTask
from otelflask._internal.request_record import RequestRecord
from otelflask.testing import CapturedTelemetry
from tests.unit.instrumentation.threads.ways import (
    add_view,
    in_executor,
    in_thread,
    log,
)


def test_statements_of_an_excluded_requests_threads_are_no_traces(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, excluded_urls="/ping", **telemetry.providers)
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)

    def work() -> None:
        with engine.connect() as connection:
            connection.execute(sa.text("select 1"))

    @app.get("/ping")
    def ping() -> str:
        in_thread(work)
        in_executor(work)
        return "pong"

    app.test_client().get("/ping")
    assert telemetry.spans == []


def test_a_pools_thread_forgets_the_request_that_started_it(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    with ThreadPoolExecutor(1) as executor:

        @app.get("/orders")
        def view() -> str:
            executor.submit(log.warning, "within").result()
            return "done"

        app.test_client().get("/orders")
        executor.submit(log.warning, "outside").result()
    lines = {record.body: record.trace_id for record in telemetry.logs}
    assert lines["within"] == telemetry.span("GET /orders").context.trace_id
    assert lines["outside"] == 0


def test_no_task_of_telemetry_belongs_to_the_request_that_started_it(app: flask.Flask) -> None:
    found: list[bool] = []

    def work() -> None:
        found.append(trace.get_current_span().get_span_context().is_valid)
        found.append(len(get_current()) > 1)

    @app.get("/orders")
    def view() -> str:
        task = BackgroundTask("test", work)
        task.start()
        assert task.thread is not None
        task.thread.join()
        return "done"

    app.test_client().get("/orders")
    assert found == [False, False]


def test_a_thread_that_could_not_start_begins_in_the_context_of_the_next_try(
    app: flask.Flask, telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = threading.Thread(target=lambda: log.warning("counted"))

    @app.get("/orders/<int:number>")
    def view(number: int) -> str:
        if number == 1:
            with monkeypatch.context() as patches:
                patches.setattr(threading, "_start_new_thread", _fails, raising=False)
                patches.setattr(threading, "_start_joinable_thread", _fails, raising=False)
                with pytest.raises(RuntimeError):
                    thread.start()
        else:
            thread.start()
            thread.join()
        return "done"

    app.test_client().get("/orders/1")
    telemetry.clear()
    app.test_client().get("/orders/2")
    (line,) = [record for record in telemetry.logs if record.body == "counted"]
    assert line.trace_id == telemetry.span("GET /orders/<int:number>").context.trace_id


def _fails(*arguments: Any, **options: Any) -> None:
    raise RuntimeError("can't start new thread")


def test_a_run_of_the_threads_own_gets_no_arguments(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    @app.get("/orders")
    def view() -> str:
        thread = threading.Thread()
        thread.run = lambda: log.warning("counted")  # type: ignore[method-assign]
        thread.start()
        thread.join()
        return "done"

    app.test_client().get("/orders")
    (line,) = [record for record in telemetry.logs if record.body == "counted"]
    assert line.trace_id == telemetry.span("GET /orders").context.trace_id


def test_nothing_keeps_a_request_alive(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    app.get("/kept")(lambda: (in_thread(lambda: None), in_executor(lambda: None), "done")[-1])
    gc.disable()
    try:
        for _ in range(5):
            app.test_client().get("/kept")
        telemetry.clear()
        # Not those of other tests, of which threads may be left.
        records = [item for item in gc.get_objects() if type(item) is RequestRecord and item.path == "/kept"]
        assert len(records) <= 1
    finally:
        gc.enable()


def test_flasks_request_does_not_travel(app: flask.Flask) -> None:
    found: list[bool] = []

    @app.get("/orders")
    def view() -> str:
        in_thread(lambda: found.append(flask.has_request_context()))
        return "done"

    app.test_client().get("/orders")
    assert found == [False]


def test_a_thread_raises_as_without_telemetry(app: flask.Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: raised.append(arguments.exc_value))
    error = LookupError("no such order")

    def work() -> None:
        raise error

    @app.get("/orders")
    def view() -> str:
        in_thread(work)
        with ThreadPoolExecutor(1) as executor:
            raised.append(executor.submit(work).exception())
        return "done"

    app.test_client().get("/orders")
    assert raised == [error, error]


def test_beside_contribs_threading_everything_arrives_once(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    ThreadingInstrumentor().instrument()
    try:
        add_view(app, in_thread, lambda: log.warning("counted"))
        app.test_client().get("/orders/7")
    finally:
        ThreadingInstrumentor().uninstrument()
    (line,) = [record for record in telemetry.logs if record.body == "counted"]
    assert line.trace_id == telemetry.span("GET /orders/<int:number>").context.trace_id


def test_a_second_call_changes_nothing_and_undoing_leaves_what_was_there() -> None:
    threads.uninstrument()
    before = (threading.Thread.start, ThreadPoolExecutor.submit)
    threads.instrument()
    once = (threading.Thread.start, ThreadPoolExecutor.submit)
    threads.instrument()
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == once != before
    threads.uninstrument()
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == before


def test_opentelemetrys_variable_turns_it_off(telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    threads.uninstrument()
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "threading")
    before = threading.Thread.start
    otelflask.init(flask.Flask("shop"), runtime_metrics=False, reports=False, **telemetry.providers)
    assert threading.Thread.start is before
