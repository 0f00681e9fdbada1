"""Slow and repeated statements, and a request's totals; on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from sqlalchemy import Column, ForeignKey, Integer, String, create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Session, relationship, selectinload

import otelflask
from otelflask.testing import CapturedTelemetry


class Base(DeclarativeBase):
    pass


class Lamp(Base):
    __tablename__ = "watched_lamps"
    id = Column(Integer, primary_key=True)
    name = Column(String(20))
    reviews = relationship("Review")


class Review(Base):
    __tablename__ = "watched_reviews"
    id = Column(Integer, primary_key=True)
    lamp_id = Column(ForeignKey("watched_lamps.id"))


@pytest.fixture
def engine(database_url: str) -> Iterator[Any]:
    engine = create_engine(database_url)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Lamp(id=number, name=f"lamp {number}") for number in range(1, 9)])
        session.commit()
    yield engine
    Base.metadata.drop_all(engine)
    engine.dispose()


Run = Callable[..., list[Any]]


@pytest.fixture
def run(telemetry: CapturedTelemetry) -> Run:
    """Run a view in a request, and return the records about its statements."""

    def ran(view: Callable[[], Any], **settings: Any) -> list[Any]:
        app = flask.Flask("shop")
        app.add_url_rule("/x", "x", lambda: (view(), "ok")[1])
        otelflask.init(app, runtime_metrics=False, **telemetry.providers, **settings)
        assert app.test_client().get("/x").status_code == 200
        return [record for record in telemetry.logs if (record.event_name or "").startswith("otelflask.")]

    return ran


def test_a_slow_statement_is_said_with_its_text_duration_rows_and_caller(
    engine: Any, run: Run, telemetry: CapturedTelemetry
) -> None:
    def view() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT name FROM watched_lamps WHERE name = 'lamp 1'"))

    (record,) = run(view, slow_query_threshold=0.0)
    assert (record.event_name, record.severity_text) == ("otelflask.slow_query", "WARN")
    attributes = record.attributes
    assert attributes["db.query.text"] == "SELECT name FROM watched_lamps WHERE name = ?"
    assert attributes["db.query.summary"] == "SELECT watched_lamps"
    assert attributes["otelflask.db.query.duration"] > 0
    assert attributes["code.file.path"] == __file__
    if engine.dialect.name != "sqlite":
        assert attributes["db.response.returned_rows"] == 1
    span = telemetry.span("SELECT watched_lamps")
    assert (record.trace_id, record.span_id) == (span.context.trace_id, span.context.span_id)
    assert span.attributes["code.file.path"] == __file__


def test_a_relationship_that_is_loaded_one_by_one_is_said_once_with_its_name_and_line(
    engine: Any, run: Run, telemetry: CapturedTelemetry
) -> None:
    def view() -> None:
        with Session(engine) as session:
            for lamp in session.scalars(select(Lamp)):
                len(lamp.reviews)

    (record,) = run(view, repeated_query_time=0.0)
    assert (record.event_name, record.severity_text) == ("otelflask.repeated_query", "WARN")
    assert record.attributes["otelflask.db.relationship"] == "Lamp.reviews"
    assert record.attributes["otelflask.db.query.count"] == 8
    assert record.attributes["code.file.path"] == __file__
    assert record.attributes["http.route"] == "/x"
    assert record.span_id == telemetry.span("GET /x").context.span_id


def test_a_relationship_that_is_loaded_at_once_is_not(engine: Any, run: Run) -> None:
    def view() -> None:
        with Session(engine) as session:
            for lamp in session.scalars(select(Lamp).options(selectinload(Lamp.reviews))):
                len(lamp.reviews)

    assert run(view, repeated_query_time=0.0) == []


def _ask(engine: Any, number: int) -> None:
    with engine.connect() as connection:
        connection.execute(select(Lamp.name).where(Lamp.id == number))


@pytest.mark.parametrize(
    ("runs", "settings", "is_said"),
    [
        (5, {"repeated_query_time": 0.0}, True),
        (4, {"repeated_query_time": 0.0}, False),
        (4, {"repeated_query_time": 0.0, "repeated_query_count": 4}, True),
        (8, {"repeated_query_time": 60.0}, False),
    ],
    ids=["five", "four", "four by setting", "quick ones"],
)
def test_how_often_and_how_long_are_settings(
    engine: Any, run: Run, runs: int, settings: dict[str, Any], is_said: bool
) -> None:
    def view() -> None:
        for number in range(runs):
            _ask(engine, number)

    assert bool(run(view, **settings)) == is_said


@pytest.mark.parametrize(
    ("environment", "least"), [("development", 0.0), ("production", 0.05)], ids=["development", "production"]
)
def test_in_development_quick_runs_count_too(telemetry: CapturedTelemetry, environment: str, least: float) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, environment=environment, **telemetry.providers)
    assert app.extensions["otelflask"].telemetry.repeated_query_time() == least


@pytest.mark.parametrize(("settings", "is_said"), [({}, True), ({"repeated_query_time": 60.0}, False)], ids=str)
def test_a_textbook_n_plus_one_is_said_in_development(
    engine: Any, run: Run, settings: dict[str, Any], is_said: bool
) -> None:
    def view() -> None:
        for number in range(8):
            _ask(engine, number)

    assert bool(run(view, environment="development", **settings)) is is_said


def test_the_same_text_from_several_lines_is_not_repeated(engine: Any, run: Run) -> None:
    statement = select(Lamp.name)

    def view() -> None:
        with engine.connect() as connection:
            connection.execute(statement)
            connection.execute(statement)
            connection.execute(statement)
            connection.execute(statement)
            connection.execute(statement)

    assert run(view, repeated_query_time=0.0) == []


def test_a_request_has_its_totals_on_its_span_and_in_its_log(
    engine: Any, run: Run, telemetry: CapturedTelemetry
) -> None:
    run(lambda: [_ask(engine, 1), _ask(engine, 2)])
    (log,) = [record for record in telemetry.logs if record.event_name == "http.server.request"]
    for attributes in (telemetry.span("GET /x").attributes, log.attributes):
        assert attributes["otelflask.db.query.count"] == 2
        assert attributes["otelflask.db.query.duration"] > 0


def test_statements_outside_of_requests_are_watched_for_being_slow_only(
    engine: Any, telemetry: CapturedTelemetry
) -> None:
    otelflask.init(flask.Flask("job"), runtime_metrics=False, repeated_query_time=0.0, **telemetry.providers)
    for number in range(10):
        _ask(engine, number)
    assert telemetry.logs == []


def test_a_statement_that_fails_counts_and_may_be_slow(telemetry: CapturedTelemetry, run: Run, engine: Any) -> None:
    def view() -> None:
        for _ in range(3):
            with pytest.raises(Exception, match="nothing"), engine.connect() as connection:
                connection.execute(text("SELECT id FROM nothing"))

    slow = run(view, slow_query_threshold=0.0)
    (request,) = [record for record in telemetry.logs if (record.body or "").startswith("GET /x")]
    assert request.attributes["otelflask.db.query.count"] == 3
    assert [record.event_name for record in slow] == ["otelflask.slow_query"] * 3
    assert all("error.type" in record.attributes for record in slow)
