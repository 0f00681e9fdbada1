"""The app of the benchmarks, the same for every variant."""

from __future__ import annotations

import logging
import sys
import tempfile
from typing import Any

from flask import Flask, jsonify
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Product(Base):
    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    stock: Mapped[int]


def create_app() -> Flask:
    logging.getLogger().setLevel(logging.INFO)
    app = Flask("bench")
    # Measure the answer to /boom, and not the printing of its traceback. Before Flask adds its own handler.
    logging.getLogger("bench").addHandler(logging.NullHandler())
    # A file, so that each thread has a connection of its own: SQLite's connections may not be shared.
    folder = tempfile.TemporaryDirectory()
    app.extensions["bench.folder"] = folder
    engine = create_engine(f"sqlite:///{folder.name}/bench.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Product(id=n, name=f"product {n}", stock=n) for n in range(1, 61)])
        session.commit()

    @app.get("/ping")
    def ping() -> str:
        return "pong"

    @app.get("/api/products")
    def products() -> Any:
        with Session(engine) as session:
            total = session.scalar(select(func.count()).select_from(Product))
            found = session.scalars(select(Product).order_by(Product.id).limit(10)).all()
        app.logger.info("listed %d products", len(found))
        return jsonify(products=[{"id": p.id, "name": p.name, "stock": p.stock} for p in found], total=total)

    @app.get("/boom")
    def boom() -> str:
        raise RuntimeError("boom")

    _add_bad_errors(app)
    return app


def _add_bad_errors(app: Flask) -> None:
    """Add routes with errors that make large reports."""
    sys.setrecursionlimit(20_000)

    def descend(depth: int) -> None:
        if depth:
            descend(depth - 1)
        raise RecursionError("ten thousand frames")

    @app.get("/recursion")
    def recursion() -> None:
        descend(10_000)

    @app.get("/cycle")
    def cycle() -> None:
        one, other = ValueError("one"), KeyError("other")
        one.__cause__, other.__cause__ = other, one
        raise one

    @app.get("/wide")
    def wide() -> None:
        raise ExceptionGroup("wide", [ValueError(f"member {n}") for n in range(10_000)])  # noqa: F821

    @app.get("/long")
    def long() -> None:
        raise RuntimeError("m" * 1_000_000)
