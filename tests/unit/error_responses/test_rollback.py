"""After an unhandled error, the next request of the same thread has a working session."""

from __future__ import annotations

from collections.abc import Iterator

import flask
import pytest
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column, Integer, String, create_engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, scoped_session, sessionmaker

import otelflask
from otelflask.testing import CapturedTelemetry


class Base(DeclarativeBase):
    pass


class Name(Base):
    __tablename__ = "names"
    id = Column(Integer, primary_key=True)
    name = Column(String(20), unique=True)


@pytest.fixture
def plain(database_url: str) -> Iterator[scoped_session]:
    engine = create_engine(database_url)
    Base.metadata.create_all(engine)
    sessions = scoped_session(sessionmaker(engine))
    yield sessions
    sessions.remove()
    Base.metadata.drop_all(engine)
    engine.dispose()


def _app(sessions: scoped_session) -> flask.Flask:
    app = flask.Flask("shop")

    @app.get("/add/<name>")
    def add(name: str) -> str:
        sessions.add(Name(name=name))
        sessions.flush()
        sessions.commit()
        return "added"

    @app.get("/count")
    def count() -> str:
        return str(sessions.query(Name).count())

    return app


def test_a_plain_session_stays_broken_without_it(plain: scoped_session, telemetry: CapturedTelemetry) -> None:
    app = _app(plain)
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    client = app.test_client()
    assert [client.get(f"/add/{name}").status_code for name in ("a", "a")] == [200, 500]
    assert client.get("/count").status_code == 500


def test_a_plain_session_works_again_after_an_integrity_error(
    plain: scoped_session, telemetry: CapturedTelemetry
) -> None:
    app = _app(plain)
    otelflask.init(app, runtime_metrics=False, rollback_sessions=[plain], **telemetry.providers)
    client = app.test_client()
    assert [client.get(f"/add/{name}").status_code for name in ("a", "a", "b")] == [200, 500, 200]
    assert client.get("/count").text == "2"


def test_flask_sqlalchemys_session_is_found_by_itself(database_url: str, telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = database_url
    database = SQLAlchemy(app)
    seen: list[str] = []

    @app.get("/twice")
    def twice() -> str:
        for _ in range(2):
            database.session.execute(text("INSERT INTO names (id, name) VALUES (1, 'a')"))
        return "never"

    @app.errorhandler(500)
    def broken(error: Exception) -> tuple[str, int]:
        # A handler that asks the database, as many do.
        seen.append(str(database.session.execute(text("SELECT count(*) FROM names")).scalar()))
        return "sorry", 500

    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    with app.app_context():
        Base.metadata.create_all(database.engine)
    try:
        assert app.test_client().get("/twice").status_code == 500
        assert seen == ["0"]
    finally:
        with app.app_context():
            Base.metadata.drop_all(database.engine)
            database.engine.dispose()


def test_a_session_that_cannot_be_rolled_back_changes_no_answer(telemetry: CapturedTelemetry) -> None:
    class Broken:
        def rollback(self) -> None:
            raise IntegrityError("ROLLBACK", {}, Exception("gone"))

    app = flask.Flask("shop")

    @app.get("/boom")
    def boom() -> str:
        raise RuntimeError

    otelflask.init(app, runtime_metrics=False, rollback_sessions=[Broken()], **telemetry.providers)
    assert app.test_client().get("/boom").status_code == 500
