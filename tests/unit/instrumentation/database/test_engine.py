"""Statements of SQLAlchemy engines, as spans and durations."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import flask
import pytest
import sqlalchemy as sa
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy.pool import StaticPool

import otelflask
from otelflask._internal.instrumentation.database.instrumentor import SQLAlchemyInstrumentor
from otelflask.testing import CapturedTelemetry


@pytest.fixture
def engine() -> Iterator[sa.Engine]:
    """Made before otelflask starts."""
    engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)"))
    yield engine
    engine.dispose()


@pytest.fixture
def started(engine: sa.Engine, telemetry: CapturedTelemetry) -> flask.Flask:
    app = flask.Flask("db")
    otelflask.init(app, runtime_metrics=False, slow_query_threshold=10.0, **telemetry.providers)
    return app


@pytest.mark.usefixtures("started")
def test_a_statement_is_a_client_span_without_its_literals(engine: sa.Engine, telemetry: CapturedTelemetry) -> None:
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT name FROM items WHERE name = 'secret'"))
    (span,) = telemetry.spans
    assert span.name == "SELECT items"
    assert span.kind is SpanKind.CLIENT
    assert span.attributes == {
        "db.system.name": "sqlite",
        "db.operation.name": "SELECT",
        "db.collection.name": "items",
        "db.query.summary": "SELECT items",
        "db.query.text": "SELECT name FROM items WHERE name = ?",
    }


@pytest.mark.usefixtures("started")
def test_an_engine_made_afterwards_is_seen_from_its_first_statement(telemetry: CapturedTelemetry) -> None:
    late = sa.create_engine("sqlite://")
    with late.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    late.dispose()
    assert [span.name for span in telemetry.spans if span.attributes["db.query.text"] == "SELECT ?"]  # type: ignore[index]


@pytest.mark.usefixtures("started")
def test_an_engine_that_the_app_lets_go_is_not_kept(telemetry: CapturedTelemetry, tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/shop.db")
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    assert len(telemetry.points("db.client.connection.count")) >= 2
    gone = weakref.ref(engine)
    del engine, connection
    gc.collect()
    assert gone() is None
    assert str(tmp_path) not in str(telemetry.points("db.client.connection.count"))


def test_engines_of_one_pool_are_one(engine: sa.Engine, telemetry: CapturedTelemetry) -> None:
    sharing = engine.execution_options(schema_translate_map={}).execution_options(logging_token="shop")
    otelflask.init(flask.Flask("db"), runtime_metrics=False, **telemetry.providers)
    with sharing.begin() as connection:
        connection.execute(sa.text("INSERT INTO items (name) VALUES ('lamp')"))
    assert [span.name for span in telemetry.spans] == ["INSERT items", "COMMIT"]
    followed = SQLAlchemyInstrumentor().telemetry.engines()  # type: ignore[union-attr]
    assert [item for item in followed if item.pool is engine.pool] == [engine]


def test_looking_for_engines_breaks_nothing_in_other_threads(engine: sa.Engine) -> None:
    # While a list has all objects of the process, CPython raises SystemError when a tuple is made of a generator.
    broken: list[SystemError] = []
    ended = threading.Event()

    def make_tuples() -> None:
        while not ended.is_set():
            try:
                tuple(number for number in range(50))
            except SystemError as error:
                broken.append(error)

    threads = [threading.Thread(target=make_tuples) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        instrumentor = SQLAlchemyInstrumentor()
        instrumentor.instrument()
        assert engine in instrumentor.telemetry.engines()  # type: ignore[union-attr]
        instrumentor.uninstrument()
    ended.set()
    for thread in threads:
        thread.join()
    assert broken == []


@pytest.mark.usefixtures("started")
def test_an_async_engine_is_seen(telemetry: CapturedTelemetry) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    async def main() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        async with engine.connect() as connection:
            await connection.execute(sa.text("SELECT 1"))
        await engine.dispose()

    asyncio.run(main())
    assert "SELECT ?" in [span.attributes.get("db.query.text") for span in telemetry.spans]  # type: ignore[union-attr]


@pytest.mark.usefixtures("started")
def test_writes_rows_batches_and_commits_are_seen(engine: sa.Engine, telemetry: CapturedTelemetry) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO items (name) VALUES (:n)"), [{"n": "a"}, {"n": "b"}, {"n": "c"}])
        connection.execute(sa.text("UPDATE items SET name = 'x'"))
    insert, update, commit = telemetry.spans
    assert insert.attributes["db.operation.batch.size"] == 3  # type: ignore[index]
    assert update.attributes["db.response.returned_rows"] == 3  # type: ignore[index]
    assert commit.name == "COMMIT"


@pytest.mark.usefixtures("started")
def test_a_rollback_is_seen_where_something_was_written(engine: sa.Engine, telemetry: CapturedTelemetry) -> None:
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    with engine.connect() as connection:
        connection.execute(sa.text("DELETE FROM items"))
        connection.rollback()
    assert [span.name for span in telemetry.spans] == ["SELECT", "DELETE items", "ROLLBACK"]


@pytest.mark.usefixtures("started")
def test_a_failed_statement_says_why_and_where(engine: sa.Engine, telemetry: CapturedTelemetry) -> None:
    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError):
        connection.execute(sa.text("SELECT * FROM nothing"))
    span = telemetry.spans[0]
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "sqlite3.OperationalError"  # type: ignore[index]
    assert str(span.attributes["code.file.path"]).endswith("test_engine.py")  # type: ignore[index]


@pytest.mark.usefixtures("started")
def test_durations_are_counted_by_operation_and_table(engine: sa.Engine, telemetry: CapturedTelemetry) -> None:
    with engine.connect() as connection:
        for _ in range(3):
            connection.execute(sa.text("SELECT name FROM items"))
    (point,) = telemetry.points("db.client.operation.duration")
    assert point.count == 3
    assert point.attributes["db.collection.name"] == "items"


@pytest.mark.usefixtures("started")
def test_the_pool_is_observed(telemetry: CapturedTelemetry, tmp_path: object) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/x.db", poolclass=sa.QueuePool, pool_size=3, max_overflow=2)
    with engine.connect():
        states = {
            p.attributes["db.client.connection.state"]: p.value
            for p in telemetry.points("db.client.connection.count")
            if "x.db" in p.attributes["db.client.connection.pool.name"]
        }
    engine.dispose()
    assert states == {"used": 1, "idle": 0}


@pytest.mark.usefixtures("started")
def test_each_connection_that_comes_too_late_is_counted_also_by_the_next_pool(
    telemetry: CapturedTelemetry, tmp_path: object
) -> None:
    options = {"poolclass": sa.QueuePool, "pool_size": 1, "max_overflow": 0, "pool_timeout": 0.01}
    engine = sa.create_engine(f"sqlite:///{tmp_path}/narrow.db", **options)
    for connect in (engine.connect, engine.raw_connection, engine.execution_options(echo=False).connect):
        with engine.connect(), pytest.raises(sa.exc.TimeoutError):
            connect()
        engine.dispose()
    (point,) = telemetry.points("db.client.connection.timeouts")
    assert point.value == 3
    assert "narrow.db" in point.attributes["db.client.connection.pool.name"]


def test_a_slow_statement_names_its_caller(engine: sa.Engine, telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("db")
    otelflask.init(app, runtime_metrics=False, slow_query_threshold=0.0, **telemetry.providers)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    assert (
        telemetry.spans[0]
        .attributes["code.function.name"]
        .endswith(  # type: ignore[index, union-attr]
            "test_a_slow_statement_names_its_caller"
        )
    )
