"""A name that is taken: the report is about the IntegrityError, however the app handles it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import flask_login
import pytest
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import SQLAlchemyError

import otelflask
from otelflask.testing import CapturedTelemetry
from tests.mailbox import Mailbox

PAGE = "{{ current_user.name }}: sorry"


def no_handler(app: flask.Flask) -> None:
    """The page of the status, whose base reads the user."""


def handler_of_status(app: flask.Flask) -> None:
    app.register_error_handler(500, lambda error: (flask.render_template_string(PAGE), 500))


def handler_of_all(app: flask.Flask) -> None:
    app.register_error_handler(Exception, lambda error: (flask.render_template_string(PAGE), 500))


def handler_of_class(app: flask.Flask) -> None:
    app.register_error_handler(SQLAlchemyError, lambda error: (flask.render_template_string(PAGE), 500))


def caught_in_the_view(app: flask.Flask) -> None:
    app.config["CATCH"] = True


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.stop()


@pytest.fixture
def database(tmp_path: Any) -> Iterator[Callable[[flask.Flask], SQLAlchemy]]:
    made: list[tuple[flask.Flask, SQLAlchemy]] = []

    def of(app: flask.Flask) -> SQLAlchemy:
        app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/blog.sqlite3"
        made.append((app, SQLAlchemy(app)))
        return made[-1][1]

    yield of
    for app, database in made:
        with app.app_context():
            database.engine.dispose()


@pytest.mark.parametrize(
    "handle", [no_handler, handler_of_status, handler_of_all, handler_of_class, caught_in_the_view]
)
def test_the_error_that_came_first_is_reported_and_mailed_once_in_one_group(
    telemetry: CapturedTelemetry,
    database: Callable[[flask.Flask], SQLAlchemy],
    mailbox: Mailbox,
    handle: Callable[[flask.Flask], None],
    tmp_path: Path,
) -> None:
    app = flask.Flask("blog")
    app.secret_key = "s3cret"
    db = database(app)

    class User(flask_login.UserMixin, db.Model):  # type: ignore[name-defined,misc]
        id = db.Column(db.Integer, primary_key=True)
        name = db.Column(db.String(20), unique=True)

    manager = flask_login.LoginManager(app)
    manager.user_loader(lambda identity: db.session.get(User, int(identity)))

    @app.post("/name/<name>")
    def rename(name: str) -> str:
        user = flask_login.current_user
        user.name = name
        try:
            db.session.commit()
        except SQLAlchemyError:
            if not app.config.get("CATCH"):
                raise
        return flask.render_template_string(PAGE)

    @app.get("/login/<int:number>")
    def login(number: int) -> str:
        flask_login.login_user(db.session.get(User, number))
        return "ok"

    handle(app)
    otelflask.init(
        app,
        runtime_metrics=False,
        mail_to="you@blog.example",
        mail_from="blog@blog.example",
        mail_server=f"127.0.0.1:{mailbox.port}",
        mail_security="none",
        state_dir=str(tmp_path / "state"),
        **telemetry.providers,
    )
    with app.app_context():
        db.create_all()
        db.session.add_all([User(name="ann"), User(name="bob")])
        db.session.commit()
    client = app.test_client()
    assert client.get("/login/1").status_code == 200
    telemetry.clear()
    assert client.post("/name/bob").status_code == 500
    (report,) = [record for record in telemetry.logs if record.event_name == "exception"]
    attributes = report.attributes or {}
    assert attributes["exception.type"] == "sqlalchemy.exc.IntegrityError"
    assert str(report.body).startswith("sqlalchemy.exc.IntegrityError: (sqlite3.IntegrityError) UNIQUE constraint")
    assert "in rename" in str(attributes["exception.stacktrace"])
    assert ".rename" in str(attributes["otelflask.error.group"])
    assert app.extensions["otelflask"].telemetry.flush(30)
    (mail,) = mailbox.mails
    assert "sqlalchemy.exc.IntegrityError: (sqlite3.IntegrityError) UNIQUE constraint" in str(mail["Subject"])
    assert "PendingRollbackError" not in mail.get_content()
    # The next request works.
    assert client.post("/name/carl").text == "carl: sorry"
