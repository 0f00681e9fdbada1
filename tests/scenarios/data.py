"""Routes and functions with statements, threads, forks and jobs."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import click
from flask import Flask, Response, copy_current_request_context, stream_with_context
from sqlalchemy import Engine, create_engine, event, text

import otelflask

logger = logging.getLogger("shop.data")
#: Set when the client of an endless stream has left.
client_left = threading.Event()
_KEY = "shop.engine"


def endless() -> Iterator[bytes]:
    """A piece, and more once the client has left, until a write fails; at most 400."""
    yield b"first"
    client_left.wait(20)
    for _ in range(400):
        time.sleep(0.005)
        yield b"x" * 65_536


def engine_of(app: Flask) -> Engine:
    """The app's engine."""
    engine: Engine = app.extensions[_KEY]
    return engine


def add(app: Flask, folder: str) -> None:
    """Add the routes, and the database in a file of `folder`."""
    engine = app.extensions[_KEY] = create_engine(f"sqlite:///{folder}/shop.sqlite3")

    @event.listens_for(engine, "connect")
    def add_functions(connection: Any, record: Any) -> None:
        connection.create_function("wait", 1, time.sleep)

    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE lamps (id INTEGER PRIMARY KEY, name TEXT UNIQUE, left INTEGER)"))
        names = [{"name": name, "left": left} for left, name in enumerate(["red", "green", "blue"])]
        connection.execute(text("INSERT INTO lamps (name, left) VALUES (:name, :left)"), names)
    _add_reads(app, engine)
    _add_writes(app, engine)
    _add_threads(app, engine)
    _add_jobs(app, engine)


def _add_reads(app: Flask, engine: Engine) -> None:
    @app.get("/select")
    def select() -> dict[str, Any]:
        with engine.connect() as connection:
            found = connection.execute(text("SELECT name FROM lamps WHERE left < :left"), {"left": 2})
            return {"lamps": list(found.scalars())}

    @app.get("/repeated")
    def repeated() -> dict[str, Any]:
        with engine.connect() as connection:
            names = []
            for lamp in range(8):
                names.append(connection.execute(text("SELECT name FROM lamps WHERE id = :id"), {"id": lamp}).scalar())
            return {"lamps": names}

    @app.get("/slow")
    def slow() -> str:
        with engine.connect() as connection:
            connection.execute(text("SELECT wait(0.6), 'token-of-nobody'")).all()
        return "slow"

    @app.get("/stream/select")
    def stream_select() -> Response:
        def pieces() -> Iterator[str]:
            with engine.connect() as connection:
                for name in connection.execute(text("SELECT name FROM lamps ORDER BY id LIMIT 3")).scalars():
                    logger.info("sent %s", name)
                    yield f"{name} "

        return Response(stream_with_context(pieces()), mimetype="text/plain")


def _add_writes(app: Flask, engine: Engine) -> None:
    @app.post("/insert")
    def insert() -> tuple[str, int]:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO lamps (name, left) VALUES (:name, 1)"), {"name": "yellow"})
        return "inserted", 201

    @app.post("/rollback")
    def rollback() -> str:
        with engine.connect() as connection:
            connection.execute(text("UPDATE lamps SET left = 0 WHERE name = :name"), {"name": "red"})
            connection.rollback()
        return "rolled back"

    @app.post("/insert-many")
    def insert_many() -> str:
        rows = [{"name": f"lamp-{number}"} for number in range(4)]
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO lamps (name, left) VALUES (:name, 9)"), rows)
        return "inserted four"

    @app.post("/insert-twice")
    def insert_twice() -> str:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO lamps (name, left) VALUES ('red', 1)"))
        return "not reached"


def _add_threads(app: Flask, engine: Engine) -> None:
    @app.get("/thread")
    def in_thread() -> str:
        def work() -> None:
            logger.info("in a thread")
            statement_outside(app)

        _run(work)
        return "joined"

    @app.get("/thread/copied")
    def in_copied_thread() -> str:
        @copy_current_request_context
        def work() -> None:
            logger.info("in a thread with the request's context")
            statement_outside(app)

        _run(work)
        return "joined"


def _run(work: Any) -> None:
    thread = threading.Thread(target=work, name="worker")
    thread.start()
    thread.join(60)


def _add_jobs(app: Flask, engine: Engine) -> None:
    @app.cli.command("recount")
    @click.argument("shelf")
    def recount(shelf: str) -> None:
        """Count the lamps again."""
        logger.info("recounting %s", shelf)
        if shelf == "missing":
            raise LookupError("no such shelf")
        with engine.connect() as connection:
            click.echo(f"{shelf}: {connection.execute(text('SELECT count(*) FROM lamps')).scalar()} lamps")

    @app.get("/fork")
    def fork_within() -> str:
        logger.info("before the fork")
        child = os.fork()
        if child == 0:
            in_child(app)
        return f"the child ended with {ended(child)}"


def statement_outside(app: Flask) -> None:
    """Run a statement in the current context."""
    with engine_of(app).connect() as connection:
        connection.execute(text("SELECT count(*) FROM lamps")).scalar()


def in_child(app: Flask) -> None:
    """The work of a forked process: a request, a line, a statement, flush, end."""
    status = 1
    try:
        answer = app.test_client().get("/hello")
        logger.info("the child has asked: %d", answer.status_code)
        statement_outside(app)
        otelflask.flush()
        status = 0 if answer.text == "hello" else 2
    finally:
        os._exit(status)


def ended(child: int) -> int:
    """The exit status of a forked process, within 20 seconds. Raises TimeoutError."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    raise TimeoutError("the forked process does not end")
