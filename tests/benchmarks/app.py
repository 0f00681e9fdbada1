"""The app whose requests are counted; the same for every variant."""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, jsonify
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool


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
    # The answer to /boom is what costs, not printing its traceback: before Flask adds its own handler.
    logging.getLogger("bench").addHandler(logging.NullHandler())
    engine = create_engine("sqlite://", poolclass=StaticPool)
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

    return app
