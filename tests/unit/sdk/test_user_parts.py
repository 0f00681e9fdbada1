"""Telemetry never raises into the app, neither by the user's parts nor by the app's values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import flask
import pytest
from opentelemetry import trace as trace_api
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import StatusCode
from sqlalchemy import create_engine, text

import otelflask
from otelflask._internal.instrumentation.database.instrumentor import SQLAlchemyInstrumentor
from otelflask.testing import CapturedTelemetry
from tests.unit.sdk.conftest import Ours


class Hostile:
    """Raises on each access."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__

    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")


class HostileText(str):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class HostileMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("no item")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no items")

    def __len__(self) -> int:
        raise RuntimeError("no length")


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message")

    def __getattr__(self, name: str) -> Any:
        # Not for dunder names: Python's own traceback reads one.
        raise (AttributeError if name.startswith("__") else RuntimeError)(name)


VALUES = [Hostile(), HostileText("x"), [Hostile()], {"inner": Hostile()}, (HostileText("x"), 1), object(), {1, 2}]


class RaisingProcessor(SpanProcessor, LogRecordProcessor):
    """Raises in each of its methods, and records the calls."""

    def __init__(self) -> None:
        self.called: set[str] = set()

    def _raise(self, name: str) -> Any:
        self.called.add(name)
        raise RuntimeError(f"no {name}")

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self._raise("on_start")

    def _on_ending(self, span: Any) -> None:
        self._raise("on_ending")

    def on_end(self, span: Any) -> None:
        self._raise("on_end")

    def on_emit(self, log_record: Any) -> None:
        self._raise("on_emit")

    def enabled(self, **about: Any) -> bool:
        self._raise("enabled")
        return True

    def shutdown(self) -> None:
        """Nothing waits."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


@pytest.fixture(params=["our providers", "the host's providers"])
def seen(request: pytest.FixtureRequest, telemetry: CapturedTelemetry) -> CapturedTelemetry:
    return Ours() if request.param == "our providers" else telemetry


def test_a_processor_that_raises_changes_no_answer_and_loses_no_commit(seen: CapturedTelemetry, tmp_path: Path) -> None:
    processor = RaisingProcessor()
    seen.tracer_provider.add_span_processor(processor)
    seen.logger_provider.add_log_record_processor(processor)
    app = flask.Flask("shop")
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.sqlite3'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id INTEGER)"))

    @app.get("/order")
    def order() -> str:
        app.logger.warning("ordered")
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO orders VALUES (7)"))
        otelflask.event("order.placed")
        return "ordered"

    instrumentor = SQLAlchemyInstrumentor()
    instrumentor.instrument(engine=engine, **seen.providers)
    try:
        otelflask.init(app, runtime_metrics=False, database=False, **seen.providers)
        answer = app.test_client().get("/order")
    finally:
        instrumentor.uninstrument()
    assert (answer.status_code, answer.text) == (200, "ordered")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id FROM orders")).scalars().all() == [7]
    engine.dispose()
    assert {"on_start", "on_ending", "on_end", "on_emit"} <= processor.called


def test_the_processors_behind_one_that_raises_are_called() -> None:
    seen = Ours()
    seen.tracer_provider.add_span_processor(RaisingProcessor())
    seen.logger_provider.add_log_record_processor(RaisingProcessor())
    seen.capture()
    with seen.tracer_provider.get_tracer("shop").start_as_current_span("work"):
        seen.logger_provider.get_logger("shop").emit(body="at work")
    assert [span.name for span in seen.spans] == ["work"]
    assert [record.body for record in seen.logs] == ["at work"]
    assert seen.logger_provider.get_logger("shop").enabled()


Use = Callable[[trace_api.Span, Any], None]
USES: dict[str, Use] = {
    "set_attribute": lambda span, value: span.set_attribute("key", value),
    "set_attributes": lambda span, value: span.set_attributes({"key": value, "other": 1}),
    "add_event": lambda span, value: span.add_event("event", {"key": value}),
    "add_link": lambda span, value: span.add_link(span.get_span_context(), {"key": value}),
    "name of an attribute": lambda span, value: span.set_attribute(value, 1),
    "name of an event": lambda span, value: span.add_event(value),
    "update_name": lambda span, value: span.update_name(value),
    "set_status": lambda span, value: span.set_status(StatusCode.ERROR, value),
    "attributes of an exception": lambda span, value: span.record_exception(KeyError("x"), {"key": value}),
}


@pytest.mark.parametrize("use", USES)
def test_nothing_that_an_app_gives_its_own_span_reaches_the_app(ours: Ours, use: str) -> None:
    tracer = ours.tracer_provider.get_tracer("shop")
    for value in [*VALUES, HostileMapping()]:
        with tracer.start_as_current_span("work") as span:
            USES[use](span, value)
    assert len(ours.spans) == len(VALUES) + 1


@pytest.mark.parametrize("use", USES)
def test_nothing_that_an_app_gives_its_requests_span_reaches_the_app(
    app: flask.Flask, telemetry: CapturedTelemetry, use: str
) -> None:
    given = [*VALUES, HostileMapping()]

    @app.get("/use/<int:number>")
    def view(number: int) -> str:
        USES[use](trace_api.get_current_span(), given[number])
        return "used"

    for number in range(len(given)):
        assert app.test_client().get(f"/use/{number}").status_code == 200
    assert len(telemetry.spans) == len(given)


def test_mappings_that_cannot_be_read_are_left_out(ours: Ours, app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    tracer = ours.tracer_provider.get_tracer("shop")
    with tracer.start_as_current_span("work", attributes=HostileMapping()) as span:
        span.set_attributes(HostileMapping())
        span.add_event("event", HostileMapping())
        span.add_link(span.get_span_context(), HostileMapping())
    ours.logger_provider.get_logger("shop").emit(body="x", attributes=HostileMapping())
    ours.meter_provider.get_meter("shop").create_counter("count").add(1, HostileMapping())
    assert [dict(span.attributes or {}) for span in ours.spans] == [{}]

    @app.get("/use")
    def view() -> str:
        trace_api.get_current_span().set_attributes(HostileMapping())
        return "used"

    assert app.test_client().get("/use").status_code == 200


def test_a_value_that_has_no_text_is_named_by_its_type_and_the_others_stay(ours: Ours) -> None:
    tracer = ours.tracer_provider.get_tracer("shop")
    with tracer.start_as_current_span("work", attributes={"given": Hostile(), "kept": 1}) as span:
        span.set_attribute("set", Hostile())
        span.set_attributes({"hostile": Hostile(), "harmless": 2})
    (ended,) = ours.spans
    unprintable = f"<{Hostile.__module__}.Hostile (unprintable)>"
    assert dict(ended.attributes or {}) == {
        "given": unprintable,
        "kept": 1,
        "set": unprintable,
        "hostile": unprintable,
        "harmless": 2,
    }


def test_the_apps_exception_is_its_own_whatever_its_message_does(ours: Ours) -> None:
    tracer = ours.tracer_provider.get_tracer("shop")
    with pytest.raises(HostileError), tracer.start_as_current_span("as current"):
        raise HostileError
    with pytest.raises(HostileError), tracer.start_span("by itself"):
        raise HostileError

    @tracer.start_as_current_span("decorated")
    def decorated() -> None:
        raise HostileError

    with pytest.raises(HostileError):
        decorated()
    for span in ours.spans:
        assert span.status.status_code is StatusCode.ERROR
        assert [event.name for event in span.events] == ["exception"]
    assert [span.name for span in ours.spans] == ["as current", "by itself", "decorated"]


def test_an_exception_that_answers_for_its_attributes_ends_its_request(
    app: flask.Flask, telemetry: CapturedTelemetry
) -> None:
    @app.get("/hostile")
    def view() -> str:
        raise HostileError

    assert app.test_client().get("/hostile").status_code == 500
    (span,) = telemetry.spans
    assert span.status.status_code is StatusCode.ERROR


def test_a_span_of_the_apps_is_otherwise_the_sdks(ours: Ours, telemetry: CapturedTelemetry) -> None:
    found = []
    for provider, spans in ((ours.tracer_provider, ours), (telemetry.tracer_provider, telemetry)):
        tracer = provider.get_tracer("shop")

        def work(tracer: trace_api.Tracer = tracer) -> None:
            with tracer.start_as_current_span("work", attributes={"a": [1, 2], "b": {"c": b"d"}}) as span:
                span.add_event("event", {"x": 1.5})
                span.set_attribute("set", ("y", None))
                raise KeyError("k")

        with pytest.raises(KeyError):
            work()
        (ended,) = spans.spans
        events = [(event.name, {**(event.attributes or {}), "exception.stacktrace": ""}) for event in ended.events]
        found.append((ended.name, dict(ended.attributes or {}), events, ended.status.description))
    assert found[0] == found[1]


class RaisingSampler(Sampler):
    def should_sample(self, *arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no decision")

    def get_description(self) -> str:
        return "raises"


class RaisingIds(IdGenerator):
    def generate_span_id(self) -> int:
        raise RuntimeError("no id")

    generate_trace_id = generate_span_id


@pytest.mark.parametrize("options", [{"sampler": RaisingSampler()}, {"id_generator": RaisingIds()}])
def test_a_sampler_or_an_id_generator_that_raises_changes_nothing_for_the_app(options: dict[str, Any]) -> None:
    seen = Ours(**options)
    seen.capture()
    app = flask.Flask("shop")
    app.add_url_rule("/hello", "hello", lambda: "hello")
    otelflask.init(app, runtime_metrics=False, reports=False, **seen.providers)
    assert app.test_client().get("/hello").text == "hello"
    with seen.tracer_provider.get_tracer("shop").start_as_current_span("work") as span:
        assert not span.is_recording()
    # Without a span, the rest of the request's telemetry is there.
    assert [record.event_name for record in seen.logs] == ["http.server.request"]
    assert [point.count for point in seen.points("http.server.request.duration")] == [1]


def test_nothing_that_an_app_measures_or_logs_by_the_api_reaches_it(ours: Ours) -> None:
    meter = ours.meter_provider.get_meter("shop")
    counter, both = meter.create_counter("count"), meter.create_up_down_counter("level")
    histogram, gauge = meter.create_histogram("duration"), meter.create_gauge("size")
    logger = ours.logger_provider.get_logger("shop")
    for value in VALUES:
        counter.add(1, {"key": value})
        both.add(1, {"key": value})
        histogram.record(1, {"key": value})
        gauge.set(1, {"key": value})
        counter.add(value)  # type: ignore[arg-type]
        logger.emit(body=value, attributes={"key": value})
    counter.add(1, {"key": "harmless"})
    assert {"key": "harmless"} in [dict(point.attributes or {}) for point in ours.points("count")]
    assert len(ours.logs) == len(VALUES)
    assert meter.create_counter("count") is counter


def test_mistakes_in_calls_of_the_api_raise_nothing(ours: Ours, app: flask.Flask) -> None:
    hostile = {"key": Hostile()}
    tracer = ours.tracer_provider.get_tracer("shop")
    assert ours.tracer_provider.get_tracer("shop", attributes=hostile) is not None
    assert ours.logger_provider.get_logger("shop", attributes=hostile) is not None
    ours.meter_provider.get_meter("shop", attributes=hostile).create_counter("count").add(1)
    meter = ours.meter_provider.get_meter("shop")
    for make in (meter.create_counter, meter.create_histogram, meter.create_gauge, meter.create_observable_gauge):
        assert make("no name at all") is not None

    def misuse(span: Any) -> None:
        span.record_exception("payment failed")
        span.record_exception(KeyError("x"), [("a", 1)])
        span.add_link(trace_api.Link(span.get_span_context()))
        with tracer.start_as_current_span("below", context="no context"):
            pass

    with tracer.start_as_current_span("work") as span:
        misuse(span)

    @app.get("/misuse")
    def view() -> str:
        misuse(trace_api.get_current_span())
        return "used"

    assert app.test_client().get("/misuse").status_code == 200


def test_a_processor_that_cannot_be_flushed_or_ended_raises_nothing() -> None:
    class Stuck(RaisingProcessor):
        def shutdown(self) -> None:
            self._raise("shutdown")

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            self._raise("force_flush")
            return True

    seen, stuck = Ours(), Stuck()
    seen.tracer_provider.add_span_processor(stuck)
    seen.logger_provider.add_log_record_processor(stuck)
    for provider in (seen.tracer_provider, seen.logger_provider):
        assert provider.force_flush() is False
        provider.shutdown()
    assert {"shutdown", "force_flush"} <= stuck.called
