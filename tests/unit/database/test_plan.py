"""Plans of slow statements, on real databases, and all the ways in which reading one could write."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import flask
import psycopg
import pymysql
import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, bindparam, create_engine, text
from sqlalchemy.pool import StaticPool

import otelflask
from otelflask.database import plan
from otelflask.database.plan import Execution, NoPlan, PlanReader, plan_of
from otelflask.testing import CapturedTelemetry

metadata = MetaData()
planned = Table("planned_lamps", metadata, Column("id", Integer, primary_key=True), Column("name", String(40)))
ROWS = 5
DBAPI_ERRORS: dict[str, type[Exception]] = {
    "sqlite": sqlite3.Error,
    "postgresql": psycopg.Error,
    "mariadb": pymysql.Error,
}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(database_url)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(planned.insert(), [{"id": n + 1, "name": f"lamp {n}"} for n in range(ROWS)])
    yield engine
    metadata.drop_all(engine)
    engine.dispose()


def _rows(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM planned_lamps")).scalar_one())


def _execution(engine: Engine, statement: str, parameters: Any = (), many: bool = False) -> Execution:
    return Execution(engine, statement, parameters, many)


SECRET = "SELECT name FROM planned_lamps WHERE name = 'a secret name' AND id > :least"


def test_a_slow_select_has_its_plan_without_literals_in_its_record(
    engine: Engine, telemetry: CapturedTelemetry
) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, slow_query_threshold=0.0, slow_query_plan=True, **telemetry.providers)
    from otelflask.database.instrumentor import SQLAlchemyInstrumentor

    @app.get("/x")
    def view() -> str:
        with engine.connect() as connection:
            connection.execute(text(SECRET), {"least": 2})
        return "ok"

    assert app.test_client().get("/x").status_code == 200
    database = SQLAlchemyInstrumentor().telemetry
    assert database is not None
    assert database.query_watch.plans is not None
    database.query_watch.plans.flush()
    (record,) = [record for record in telemetry.logs if record.event_name == "otelflask.slow_query"]
    attributes = record.attributes
    assert "planned_lamps" in attributes["otelflask.db.query.plan"]
    assert "secret" not in str(attributes)
    # Joined to the request although another thread told it; and nothing was measured of the EXPLAIN.
    request = telemetry.span("GET /x")
    assert record.trace_id == request.context.trace_id
    assert attributes["http.route"] == "/x"
    assert len(telemetry.spans) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM planned_lamps",
        "SELECT 1; DELETE FROM planned_lamps",
        "SELECT 1 ;COMMIT; DELETE FROM planned_lamps",
        "WITH gone AS (SELECT 1) DELETE FROM planned_lamps",
        "SELECT name INTO other FROM planned_lamps",
        "EXPLAIN ANALYZE DELETE FROM planned_lamps",
        "",
    ],
)
def test_what_is_no_single_select_is_not_explained(engine: Engine, statement: str) -> None:
    with pytest.raises(NoPlan):
        plan_of(_execution(engine, statement))
    assert _rows(engine) == ROWS


def test_a_statement_for_many_parameters_is_not_explained(engine: Engine) -> None:
    with pytest.raises(NoPlan):
        plan_of(_execution(engine, "SELECT 1", (), many=True))


def _try(engine: Engine, statement: str) -> None:
    """Whatever comes of it, nothing is written."""
    with contextlib.suppress(NoPlan, DBAPI_ERRORS[engine.dialect.name]):
        plan_of(_execution(engine, statement))
    assert _rows(engine) == ROWS


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_delete_inside_of_a_select_deletes_nothing(engine: Engine) -> None:
    _try(engine, "WITH gone AS (DELETE FROM planned_lamps RETURNING id) SELECT * FROM gone")


def _make_liar(connection: Any) -> None:
    """A function that says that it reads nothing, and has another one delete."""
    for name, kind, body in (
        ("deletes", "VOLATILE", "DELETE FROM planned_lamps"),
        ("lies", "IMMUTABLE", "PERFORM deletes()"),
    ):
        connection.exec_driver_sql(
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS int LANGUAGE plpgsql {kind} AS "
            f"$$ BEGIN {body}; RETURN 1; END $$"
        )


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_function_that_postgresql_runs_while_it_plans_deletes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        _make_liar(connection)
    with pytest.raises(Exception, match="read-only transaction"):
        plan_of(_execution(engine, "SELECT name FROM planned_lamps WHERE id = lies()"))
    assert _rows(engine) == ROWS


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_nor_where_the_engine_commits_by_itself(engine: Engine, database_url: str) -> None:
    with engine.begin() as connection:
        _make_liar(connection)
    committing = create_engine(database_url, connect_args={"autocommit": True})
    with pytest.raises(Exception, match="read-only transaction"):
        plan_of(_execution(committing, "SELECT name FROM planned_lamps WHERE id = lies()"))
    committing.dispose()
    assert _rows(engine) == ROWS


@pytest.mark.parametrize("storage", ["InnoDB", "Aria"])
@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_function_that_mariadb_runs_for_an_explain_deletes_nothing(engine: Engine, storage: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE planned_lamps ENGINE = {storage}")
        connection.exec_driver_sql("DROP FUNCTION IF EXISTS deletes")
        connection.exec_driver_sql(
            "CREATE FUNCTION deletes() RETURNS int BEGIN DELETE FROM planned_lamps; RETURN 1; END"
        )
    with pytest.raises(Exception, match="READ ONLY transaction"):
        plan_of(_execution(engine, "SELECT * FROM (SELECT deletes() AS gone) AS d"))
    assert _rows(engine) == ROWS


SLEEPS = {
    "postgresql": "SELECT name FROM planned_lamps WHERE id = sleeps()",
    "mariadb": "SELECT * FROM (SELECT sleep(20)) AS d",
}


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_server_that_takes_long_is_not_waited_for(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE OR REPLACE FUNCTION sleeps() RETURNS int LANGUAGE plpgsql IMMUTABLE AS "
                "$$ BEGIN PERFORM pg_sleep(20); RETURN 1; END $$"
            )
    done = threading.Event()
    reading = threading.Thread(target=lambda: (_try(engine, SLEEPS[engine.dialect.name]), done.set()))
    reading.start()
    reading.join(10)
    assert done.is_set()


def test_the_apps_transaction_and_pool_are_left_alone(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        _try(engine, "SELECT nothing FROM nowhere")
        # A failed EXPLAIN would have ended this transaction.
        assert connection.execute(text("SELECT count(*) FROM planned_lamps")).scalar_one() == ROWS
        in_use = getattr(engine.pool, "checkedout", lambda: 1)()
        assert in_use == 1


def test_a_like_with_a_percent_sign_is_explained(engine: Engine) -> None:
    statement = str(planned.select().where(planned.c.name.like(bindparam("x"))).compile(engine))
    parameters = ("lamp%",) if engine.dialect.name == "sqlite" else {"x": "lamp%"}
    assert "planned_lamps" in plan_of(_execution(engine, statement, parameters))


def test_a_database_in_memory_is_not_asked() -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with pytest.raises(NoPlan, match="in memory"):
        plan_of(_execution(engine, "SELECT 1"))
    engine.dispose()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_one_statement_is_explained_once_a_minute_and_no_more_than_a_set_number_wait(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str | None, str | None]] = []
    hold = threading.Event()
    monkeypatch.setattr(plan, "plan_of", lambda execution: (hold.wait(5), "a plan")[1])
    reader = PlanReader()
    tell = lambda found, missing: told.append((found, missing))  # noqa: E731
    reader.read_later(_execution(engine, "SELECT 1"), tell)
    reader.read_later(_execution(engine, "SELECT 1"), tell)
    assert told == [(None, "told within the last minute")]
    for number in range(2, plan.MAX_WAITING + 4):
        reader.read_later(_execution(engine, f"SELECT {number}"), tell)
    assert told[-1] == (None, "too many wait for their plan")
    hold.set()
    reader.flush()
    assert ("a plan", None) in told
    assert len(told) == plan.MAX_WAITING + 4 - 2 + 2
