"""Plans of slow statements on real databases, and all the ways in which reading one could write."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import psycopg
import pymysql
import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, bindparam, create_engine, text
from sqlalchemy.pool import QueuePool, StaticPool

import otelflask
from otelflask._internal.instrumentation.database import plan
from otelflask._internal.instrumentation.database.plan import Execution, NoPlan, PlanReader, plan_of
from otelflask.testing import CapturedTelemetry

metadata = MetaData()
planned = Table("planned_lamps", metadata, Column("id", Integer, primary_key=True), Column("name", String(40)))
ROWS = 5
FUNCTIONS = {"postgresql": ("lies()", "deletes()", "sleeps()"), "mariadb": ("deletes",)}
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
    with engine.begin() as connection:
        for name in FUNCTIONS.get(engine.dialect.name, ()):
            connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {name}")
    engine.dispose()


@pytest.fixture
def plain(engine: Engine) -> Iterator[Engine]:
    """The same database for a user who may change tables, but not files of the server."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(
                "DO $$ BEGIN CREATE ROLE plain LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
            )
            connection.exec_driver_sql("GRANT ALL ON planned_lamps TO plain")
        else:
            connection.exec_driver_sql("CREATE USER IF NOT EXISTS plain@'127.0.0.1'")
            connection.exec_driver_sql("GRANT ALL ON test.* TO plain@'127.0.0.1'")
    plain = create_engine(engine.url.set(username="plain"))
    yield plain
    plain.dispose()


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
    from otelflask._internal.instrumentation.database.instrumentor import SQLAlchemyInstrumentor

    @app.get("/x")
    def view() -> str:
        with engine.connect() as connection:
            connection.execute(text(SECRET), {"least": 2})
        return "ok"

    assert app.test_client().get("/x").status_code == 200
    database = SQLAlchemyInstrumentor().telemetry
    assert database is not None
    assert database.slow.plans is not None
    telemetry.wait_for(lambda: [record for record in telemetry.logs if record.event_name == "otelflask.slow_query"])
    (record,) = [record for record in telemetry.logs if record.event_name == "otelflask.slow_query"]
    attributes = record.attributes
    assert "planned_lamps" in attributes["otelflask.db.query.plan"]
    assert "secret" not in str(attributes)
    # Joined to the request although another thread emitted it; and the EXPLAIN was not measured.
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
    """Nothing is written, whatever happens."""
    with contextlib.suppress(NoPlan, DBAPI_ERRORS[engine.dialect.name]):
        plan_of(_execution(engine, statement))
    assert _rows(engine) == ROWS


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_delete_inside_of_a_select_deletes_nothing(engine: Engine) -> None:
    _try(engine, "WITH gone AS (DELETE FROM planned_lamps RETURNING id) SELECT * FROM gone")


def _make_liar(connection: Any, does: str = "DELETE FROM planned_lamps") -> None:
    """A function that claims to read only, and lets another one do what it should not."""
    for name, kind, body in (
        ("deletes", "VOLATILE", does),
        ("lies", "IMMUTABLE", "PERFORM deletes()"),
    ):
        connection.exec_driver_sql(
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS int LANGUAGE plpgsql {kind} AS "
            f"$$ BEGIN {body}; RETURN 1; END $$"
        )


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_function_that_postgresql_runs_while_it_plans_deletes_nothing(engine: Engine, plain: Engine) -> None:
    with engine.begin() as connection:
        _make_liar(connection)
    with pytest.raises(Exception, match="read-only transaction"):
        plan_of(_execution(plain, "SELECT name FROM planned_lamps WHERE id = lies()"))
    assert _rows(engine) == ROWS


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_nor_where_the_engine_commits_by_itself(engine: Engine, plain: Engine) -> None:
    with engine.begin() as connection:
        _make_liar(connection)
    committing = create_engine(plain.url, connect_args={"autocommit": True})
    with pytest.raises(Exception, match="read-only transaction"):
        plan_of(_execution(committing, "SELECT name FROM planned_lamps WHERE id = lies()"))
    committing.dispose()
    assert _rows(engine) == ROWS


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_function_is_not_run_for_a_user_who_may_write_files_of_the_server(engine: Engine, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    written = tmp_path / "written"
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            _make_liar(connection, f"COPY (SELECT 1) TO '{written}'")
            statement = "SELECT name FROM planned_lamps WHERE id = lies()"
        else:
            connection.exec_driver_sql(
                f"CREATE FUNCTION deletes() RETURNS int BEGIN SELECT 1 INTO OUTFILE '{written}'; RETURN 1; END"
            )
            statement = "SELECT * FROM (SELECT deletes() AS gone) AS d"
    with pytest.raises(NoPlan, match="may write files on the server"):
        plan_of(_execution(engine, statement))
    assert not written.exists()


@pytest.mark.parametrize("storage", ["InnoDB", "Aria"])
@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_function_that_mariadb_runs_for_an_explain_deletes_nothing(
    engine: Engine, plain: Engine, storage: str
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE planned_lamps ENGINE = {storage}")
        connection.exec_driver_sql(
            "CREATE FUNCTION deletes() RETURNS int BEGIN DELETE FROM planned_lamps; RETURN 1; END"
        )
    with pytest.raises(Exception, match="READ ONLY transaction"):
        plan_of(_execution(plain, "SELECT * FROM (SELECT deletes() AS gone) AS d"))
    assert _rows(engine) == ROWS


SLEEPS = {
    "postgresql": "SELECT name FROM planned_lamps WHERE id = sleeps()",
    "mariadb": "SELECT * FROM (SELECT sleep(20)) AS d",
}


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_server_that_takes_long_is_not_waited_for(engine: Engine, plain: Engine) -> None:
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE OR REPLACE FUNCTION sleeps() RETURNS int LANGUAGE plpgsql IMMUTABLE AS "
                "$$ BEGIN PERFORM pg_sleep(20); RETURN 1; END $$"
            )
    done = threading.Event()
    reading = threading.Thread(target=lambda: (_try(plain, SLEEPS[engine.dialect.name]), done.set()))
    reading.start()
    reading.join(60)
    assert done.is_set()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_literals_that_end_in_a_backslash_are_literals(engine: Engine) -> None:
    statement = "SELECT name FROM planned_lamps WHERE name = 'C:\\' OR name = 'hunter2 secret'"
    found = plan_of(_execution(engine, statement))
    assert "hunter2" not in found
    assert "planned_lamps" in found


def test_why_there_is_no_plan_shows_no_value(engine: Engine) -> None:
    told: list[tuple[str | None, str | None]] = []
    reader = PlanReader()
    execution = _execution(engine, "SELECT * FROM nowhere WHERE token = 'hunter2'")
    reader.read_later(execution, lambda found, missing: told.append((found, missing)))
    reader.flush()
    ((found, missing),) = told
    assert found is None
    assert missing
    assert "hunter2" not in missing


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_session_is_left_as_it_was_for_a_pooler_that_gives_it_to_others(engine: Engine) -> None:
    pool = engine.pool.recreate()
    connection = pool.connect()
    cursor = connection.cursor()
    for statement in plan._SETUP_STATEMENTS["postgresql"]:
        cursor.execute(statement)
    connection.rollback()
    seen = []
    for name in ("default_transaction_read_only", "statement_timeout"):
        cursor.execute(f"SHOW {name}")
        seen.append((name, cursor.fetchone()[0]))
    connection.invalidate()
    pool.dispose()
    assert seen == [("default_transaction_read_only", "off"), ("statement_timeout", "0")]


def test_a_connection_that_the_app_hands_out_itself_is_left_alone(tmp_path: Path) -> None:
    shared = sqlite3.connect(tmp_path / "shared.sqlite3", check_same_thread=False)
    engine = create_engine("sqlite://", creator=lambda: shared, poolclass=QueuePool)
    with pytest.raises(NoPlan, match="a `creator` function"):
        plan_of(_execution(engine, "SELECT 1"))
    assert shared.execute("SELECT 1").fetchone() == (1,)
    engine.dispose()
    shared.close()


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
    with pytest.raises(NoPlan, match="StaticPool"):
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
    assert told == [(None, "a plan was requested within the last minute")]
    for number in range(2, plan.MAX_WAITING + 4):
        reader.read_later(_execution(engine, f"SELECT {number}"), tell)
    assert told[-1] == (None, "too many statements wait for a plan")
    hold.set()
    reader.flush()
    assert ("a plan", None) in told
    assert len(told) == plan.MAX_WAITING + 4 - 2 + 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_plan_that_hangs_holds_up_no_record_for_long(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    monkeypatch.setattr(plan, "plan_of", lambda execution: (hold.wait(10), "a plan")[1])
    monkeypatch.setattr(plan, "RECORD_WAIT_S", 0.1)
    told: list[str | None] = []
    reader = PlanReader()
    for number in range(3):
        reader.read_later(_execution(engine, f"SELECT {number}"), lambda found, missing: told.append(missing))
    end = time.monotonic() + 60
    while len(told) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    assert told == ["no plan within 0.1 s"] * 3
    hold.set()
    reader.flush()
    assert len(told) == 3
