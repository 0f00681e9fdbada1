"""Work that a request starts in threads belongs to the request."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
import sentry_sdk
import sqlalchemy as sa
from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.instrumentation.threading import ThreadingInstrumentor

import otelflask
from otelflask._internal import attribute_names, event_names
from otelflask._internal.instrumentation import threads
from otelflask._internal.lifecycle.background_task import BackgroundTask
from otelflask._internal.request_record import RequestRecord
from otelflask.testing import CapturedTelemetry

Work = Callable[[], None]
_log = logging.getLogger("shop.threads")


@pytest.fixture
def app(telemetry: CapturedTelemetry) -> flask.Flask:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, log_level="INFO", **telemetry.providers)
    _log.setLevel(logging.INFO)
    return app


def _thread(work: Work) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def _thread_with_its_own_run(work: Work) -> None:
    class Worker(threading.Thread):
        def run(self) -> None:
            work()

    thread = Worker()
    thread.start()
    thread.join()


def _timer(work: Work) -> None:
    timer = threading.Timer(0, work)
    timer.start()
    timer.join()


def _thread_of_a_thread(work: Work) -> None:
    _thread(lambda: _thread(work))


def _thread_with_a_copied_context(work: Work) -> None:
    _thread(flask.copy_current_request_context(work))


def _executor(work: Work) -> None:
    with ThreadPoolExecutor(1) as executor:
        executor.submit(work).result()


def _executor_that_maps(work: Work) -> None:
    with ThreadPoolExecutor(1) as executor:
        list(executor.map(lambda _: work(), [1]))


async def _to_thread(work: Work) -> None:
    await asyncio.to_thread(work)


async def _in_executor(work: Work) -> None:
    await asyncio.get_running_loop().run_in_executor(None, work)


async def _in_an_async_view(work: Work) -> None:
    work()


WAYS: list[Callable[[Work], Any]] = [
    _thread,
    _thread_with_its_own_run,
    _timer,
    _thread_of_a_thread,
    _thread_with_a_copied_context,
    _executor,
    _executor_that_maps,
    _to_thread,
    _in_executor,
    _in_an_async_view,
]


def _add(app: flask.Flask, way: Callable[[Work], Any], work: Work) -> None:
    if asyncio.iscoroutinefunction(way):

        async def view(number: int) -> str:
            flask.g.user_id = "ada"
            await way(work)
            return "done"

        app.get("/orders/<int:number>")(view)
        return

    @app.get("/orders/<int:number>")
    def plain(number: int) -> str:
        flask.g.user_id = "ada"
        way(work)
        return "done"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_lines_statements_and_ids_are_the_requests(
    app: flask.Flask, telemetry: CapturedTelemetry, way: Callable[[Work], Any]
) -> None:
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)
    ids: list[str | None] = []

    def work() -> None:
        _log.warning("counted")
        ids.append(otelflask.get_request_id())
        with engine.connect() as connection:
            connection.execute(sa.text("select 1"))

    _add(app, way, work)
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


@pytest.mark.parametrize("way", [_thread, _thread_with_its_own_run, _executor], ids=lambda way: way.__name__.strip("_"))
def test_an_error_of_a_thread_is_reported_with_the_request_and_its_scopes(
    app: flask.Flask, telemetry: CapturedTelemetry, way: Callable[[Work], Any]
) -> None:
    def work() -> None:
        try:
            raise LookupError("no such order")
        except LookupError:
            _log.exception("failed")

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

    _add(app, _thread, work)
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
        _log.info("a crumb")
        try:
            raise LookupError("no such order")
        except LookupError:
            _log.exception("failed")

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
        _log.error("order %d failed", number)

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


def test_statements_of_an_excluded_requests_threads_are_no_traces(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, excluded_urls="/ping", **telemetry.providers)
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)

    def work() -> None:
        with engine.connect() as connection:
            connection.execute(sa.text("select 1"))

    @app.get("/ping")
    def ping() -> str:
        _thread(work)
        _executor(work)
        return "pong"

    app.test_client().get("/ping")
    assert telemetry.spans == []


def test_a_pools_thread_forgets_the_request_that_started_it(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    with ThreadPoolExecutor(1) as executor:

        @app.get("/orders")
        def view() -> str:
            executor.submit(_log.warning, "within").result()
            return "done"

        app.test_client().get("/orders")
        executor.submit(_log.warning, "outside").result()
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
    thread = threading.Thread(target=lambda: _log.warning("counted"))

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
        thread.run = lambda: _log.warning("counted")  # type: ignore[method-assign]
        thread.start()
        thread.join()
        return "done"

    app.test_client().get("/orders")
    (line,) = [record for record in telemetry.logs if record.body == "counted"]
    assert line.trace_id == telemetry.span("GET /orders").context.trace_id


def test_nothing_keeps_a_request_alive(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    app.get("/orders")(lambda: (_thread(lambda: None), _executor(lambda: None), "done")[-1])
    gc.collect()
    gc.disable()
    try:
        before = _records()
        for _ in range(5):
            app.test_client().get("/orders")
        telemetry.clear()
        assert _records() <= before + 1
    finally:
        gc.enable()


def _records() -> int:
    return sum(isinstance(item, RequestRecord) for item in gc.get_objects())


def test_flasks_request_does_not_travel(app: flask.Flask) -> None:
    found: list[bool] = []

    @app.get("/orders")
    def view() -> str:
        _thread(lambda: found.append(flask.has_request_context()))
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
        _thread(work)
        with ThreadPoolExecutor(1) as executor:
            raised.append(executor.submit(work).exception())
        return "done"

    app.test_client().get("/orders")
    assert raised == [error, error]


def test_beside_contribs_threading_everything_arrives_once(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    ThreadingInstrumentor().instrument()
    try:
        _add(app, _thread, lambda: _log.warning("counted"))
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
