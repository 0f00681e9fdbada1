"""The business code: items, users and a price that comes from elsewhere."""

import time
from typing import Any

from flask import Flask, Response, current_app, g, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import otelflask
from otelflask.breaker import CircuitBreaker
from otelflask.errors import NotFoundError, success

from .errors import AuthenticationError, AuthorizationError, ValidationError


class Base(DeclarativeBase):
    """The base of the models."""


db = SQLAlchemy(model_class=Base)


class Item(db.Model):  # type: ignore[name-defined,misc]
    """A thing with a name."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Visit(db.Model):  # type: ignore[name-defined,misc]
    """One look at a user's page."""

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]


def add_sleep(connection: Any, _record: object) -> None:
    """Teach SQLite to sleep."""
    connection.create_function("sleep", 1, time.sleep)


def init_app(app: Flask) -> None:
    """Open the database and add the routes."""
    db.init_app(app)
    with app.app_context():
        event.listen(db.engine, "connect", add_sleep)
        db.create_all()

    # One breaker per app.
    @CircuitBreaker(failure_threshold=5, timeout=app.config["BREAKER_TIMEOUT"])
    def fetch_price() -> int:
        if current_app.config["FLAKY"]:
            raise ConnectionError("the price service does not answer")
        return 42

    @app.get("/api/ok")
    def ok() -> Response:
        return success({"n": 1}, "行")

    @app.post("/api/items")
    def create_item() -> tuple[Response, int]:
        name = (request.get_json() or {}).get("name")
        if not name:
            raise ValidationError("名称不能为空", "name")
        item = Item(name=name)
        db.session.add(item)
        db.session.commit()
        return success({"id": item.id, "name": item.name}, "已创建"), 201

    @app.get("/api/items/<int:item_id>")
    def show_item(item_id: int) -> Response:
        item = db.session.get(Item, item_id)
        if item is None:
            raise NotFoundError("没有这个物品", details={"id": item_id})
        return success({"id": item.id, "name": item.name})

    @app.get("/api/private")
    def private() -> Response:
        raise AuthenticationError

    @app.get("/api/forbidden")
    def forbidden() -> Response:
        raise AuthorizationError

    @app.get("/api/crash", endpoint="api_crash")
    @app.get("/crash")
    def crash() -> str:
        return str(1 / 0)

    @app.get("/api/users/<int:user_id>")
    def show_user(user_id: int) -> Response:
        g.user_id = user_id
        current_app.logger.info("查看用户 %s", user_id)
        visits = db.session.scalar(select(func.count()).where(Visit.user_id == user_id)) or 0
        db.session.add(Visit(user_id=user_id))
        db.session.commit()
        otelflask.event("user.viewed", 页面="用户", visits=visits + 1)
        return success({"id": user_id, "visits": visits + 1})

    @app.get("/api/slow")
    def slow() -> Response:
        seconds = current_app.config["OTELFLASK_SLOW_QUERY_THRESHOLD"] + 0.05
        db.session.execute(text("SELECT sleep(:seconds)"), {"seconds": seconds})
        return success({"seconds": seconds})

    @app.get("/api/flaky")
    def flaky() -> Response:
        return success({"price": fetch_price()})


def close(app: Flask) -> None:
    """Close the database connections."""
    with app.app_context():
        db.engine.dispose()
