"""The shop's tables and their sample data."""

from __future__ import annotations

import random
import time
from datetime import datetime, timezone

from sqlalchemy import DateTime, Engine, ForeignKey, Numeric, String, event, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship


class Base(DeclarativeBase):
    """The shop's metadata."""


class Product(Base):
    """Something to buy; `price` in the shop's currency."""

    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    price: Mapped[float] = mapped_column(Numeric(10, 2, asdecimal=False))
    stock: Mapped[int]
    featured: Mapped[bool]
    reviews: Mapped[list[Review]] = relationship(back_populates="product")


class Review(Base):
    """A buyer's rating of a product."""

    __tablename__ = "reviews"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), index=True)
    stars: Mapped[int]
    product: Mapped[Product] = relationship(back_populates="reviews")


class User(Base):
    """A registered buyer."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)


class Order(Base):
    """One purchase."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), index=True)
    quantity: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(timezone.utc))


PRODUCTS = 60
STOCK = 1_000


def prepare(engine: Engine) -> None:
    """Create the tables and the sample data, once, by whichever worker comes first. The data is always the same."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_settings)
    for attempt in range(5):
        try:
            with Session(engine) as session:
                _prepare(session, engine.dialect.name)
            return
        except (IntegrityError, OperationalError):
            # Another worker was first. SQLite has no lock to wait for.
            if attempt == 4:
                raise
            time.sleep(0.2)


def _prepare(session: Session, dialect: str) -> None:
    if dialect == "postgresql":
        # Workers start at the same time: one makes the tables, and the others wait for it.
        session.execute(text("SELECT pg_advisory_xact_lock(1)"))
    Base.metadata.create_all(session.connection())
    if session.scalar(select(Product.id).limit(1)) is None:
        _seed(session)
    session.commit()


def _seed(session: Session) -> None:
    numbers = random.Random(20_240_101)
    kinds = ("Lamp", "Chair", "Kettle", "Desk", "Rug", "Clock")
    for number in range(1, PRODUCTS + 1):
        session.add(
            Product(
                id=number,
                name=f"{kinds[number % len(kinds)]} {number:02d}",
                price=round(numbers.uniform(5, 250), 2),
                stock=STOCK,
                featured=number % 10 == 0,
                reviews=[Review(stars=numbers.randint(1, 5)) for _ in range(numbers.randint(1, 6))],
            )
        )


def _sqlite_settings(connection: object, record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    # Several workers on one file: wait for the writer instead of failing.
    cursor.execute("PRAGMA busy_timeout = 5000")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()
