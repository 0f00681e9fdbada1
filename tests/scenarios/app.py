"""The app of the scenarios. Its other routes are in `faults`, `data`, `lines`, `schedule` and `sockets`."""

from __future__ import annotations

import io
from collections.abc import Iterator

import flask
from flask import Blueprint, Flask, Response, abort, redirect, request, url_for
from jinja2 import DictLoader
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import otelflask
from otelflask.errors import AppError, RateLimitError, ValidationError, answer_errors_with, created, success
from tests.scenarios import data, faults, lines, schedule, sockets

#: A page, and a template that it includes.
TEMPLATES = {
    "lamps.html": "<ul>{% for lamp in lamps %}{% include 'lamp.html' %}{% endfor %}</ul>",
    "lamp.html": "<li>{{ lamp }}</li>",
}


class SoldOutError(AppError):
    """An error of the app's own, with a code of its own."""

    status = 409
    code = "sold_out"


def make_app(folder: str, init: bool) -> Flask:
    """Make the app, with its database in `folder`. `init`: whether it calls `otelflask.init`."""
    app = Flask("shop")
    app.jinja_loader = DictLoader(TEMPLATES)
    if init:
        otelflask.init(app)
    _add_answers(app)
    _add_expected_errors(app)
    _add_bodies(app, folder)
    faults.add(app)
    lines.add(app)
    data.add(app, folder)
    sockets.add(app)
    schedule.add(app)
    return app


def make_second_app(init: bool) -> Flask:
    """Make another app for the same process, with its own settings and hooks."""
    app = Flask("stock")
    if init:
        otelflask.init(
            app,
            error_format="envelope",
            health_path="",
            user=lambda: "grace",
            request_hook=lambda span, environ: span.set_attribute("stock.asked", environ["PATH_INFO"]),
            response_hook=lambda span, status, headers: headers.append(("X-Stock", status)),
            error_renderer=None,
        )

    @app.get("/count")
    def count() -> str:
        app.logger.info("counted %d", 7)
        return "7"

    @app.get("/api/shelf")
    def shelf() -> Response:
        raise SoldOutError("the shelf is empty", details={"left": 0})

    @app.get("/api/data")
    def of_success() -> Response:
        return success({"left": 1})

    return app


def make_nested_app(app: Flask, inner: Flask) -> DispatcherMiddleware:
    """Combine both as one WSGI app: the inner one is below ``/inner``."""
    return DispatcherMiddleware(app, {"/inner": inner})


def _add_answers(app: Flask) -> None:
    @app.get("/hello")
    def hello() -> str:
        return "hello"

    @app.get("/lamps/<int:lamp>")
    def one_lamp(lamp: int) -> str:
        return f"lamp {lamp}"

    @app.post("/orders")
    def order() -> tuple[dict[str, int], int]:
        return {"bytes": len(request.get_data())}, 201

    @app.get("/old")
    def old() -> flask.typing.ResponseReturnValue:
        return redirect(url_for("hello"))

    @app.before_request
    def gate() -> str | None:
        return "answered at the gate" if request.headers.get("X-Gate") == "closed" else None

    @app.get("/request-id")
    def request_id() -> dict[str, bool]:
        return {"is the answer's": otelflask.get_request_id() is not None}

    @app.get("/user")
    def user() -> str:
        otelflask.set_user("ada")
        return "hello, ada"

    @app.get("/success")
    def of_success() -> Response:
        return success({"lamp": 7})

    @app.post("/created")
    def of_created() -> Response:
        return created({"lamp": 8}, location="/lamps/8")

    @app.get("/excluded/path")
    def excluded() -> str:
        app.logger.info("within an excluded request")
        return "excluded"

    @app.get("/template")
    def template() -> str:
        return flask.render_template("lamps.html", lamps=["red", "green"])


def _add_expected_errors(app: Flask) -> None:
    @app.get("/forbidden")
    def forbidden() -> str:
        abort(403)

    @app.get("/broken")
    def broken() -> str:
        abort(500)

    @app.get("/sold-out")
    def sold_out() -> str:
        raise SoldOutError("No lamps are left.", details={"left": 0, "wanted": [1, 2]})

    @app.post("/api/lamps")
    def add_lamp() -> str:
        raise ValidationError(fields={"name": "is missing", "price": "is below 0"})

    @app.get("/api/limited")
    def limited() -> str:
        raise RateLimitError("Too many lamps at once.", retry_after=1.5)

    machines = Blueprint("machines", __name__, url_prefix="/machines")
    answer_errors_with(machines, "json")

    @machines.get("/<int:machine>")
    def one_machine(machine: int) -> str:
        abort(410, f"machine {machine} is gone")

    app.register_blueprint(machines)


def _add_bodies(app: Flask, folder: str) -> None:
    @app.get("/stream")
    def stream() -> Response:
        return Response(iter([b"one ", b"two ", b"three"]), mimetype="text/plain")

    @app.get("/stream/fails")
    def stream_fails() -> Response:
        def pieces() -> Iterator[bytes]:
            yield b"one "
            raise BrokenPipeError("the source is gone")

        return Response(pieces(), mimetype="text/plain")

    @app.get("/stream/long")
    def stream_long() -> Response:
        return Response(data.endless(), mimetype="text/plain")

    @app.get("/file")
    def file() -> Response:
        return flask.send_file(f"{folder}/lamps.txt", download_name="lamps.txt")

    @app.get("/memory-file")
    def memory_file() -> Response:
        return flask.send_file(io.BytesIO(b"lamps of memory"), mimetype="text/plain")

    @app.get("/large")
    def large() -> str:
        return "x" * 200_000
