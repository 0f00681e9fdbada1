"""A small shop, written like any Flask app. Its calls of otelflask do nothing where that is not initialised."""

from __future__ import annotations

import itertools
import logging
import os
import tempfile
import time
import urllib.error
import urllib.request
from typing import Any

import requests
from flask import Flask, Response, abort, current_app, jsonify, request
from redis import Redis, RedisError
from sqlalchemy import create_engine, func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import otelflask
from otelflask._internal.breaker.breaker import CircuitBreaker
from otelflask.demo import jobs, live_stock
from otelflask.demo.models import Order, Product, Review, User, prepare
from otelflask.errors import AppError, ExternalServiceError, ExternalTimeoutError

logger = logging.getLogger("otelflask.demo.shop")

#: Stops calling the payment service for a while when it fails.
payments = CircuitBreaker(
    "payments", failure_threshold=5, reset_timeout=15.0, expected_exception=requests.RequestException
)

#: One in so many payments is declined: some 8 %.
DECLINED_EVERY = 12
#: Seconds that it takes to choose featured products.
RANKING_S = 0.3


class PaymentDeclinedError(AppError):
    """The bank does not pay for this order."""

    message, status, code = "the bank declines the payment", 402, "payment_declined"


def create_app(database_url: str | None = None, *, instrument: bool = True, **settings: Any) -> Flask:
    """Make the shop.

    Args:
        database_url: The database (default: ``SHOP_DATABASE_URL``, else a SQLite file in the temporary
            directory).
        instrument: Whether to call ``otelflask.init``.
        **settings: Options of `init`.
    """
    if os.environ.get("OTELFLASK_CONSOLE") == "traces":
        # The console view shows each line within its trace, so it is not printed again.
        logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    else:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    app = Flask("shop")
    if instrument:
        otelflask.init(app, service_name="shop", **settings)
    default = f"sqlite:///{os.path.join(tempfile.gettempdir(), f'otelflask-shop-{os.getuid()}.sqlite3')}"
    engine = create_engine(database_url or os.environ.get("SHOP_DATABASE_URL") or default)
    prepare(engine)
    sessions = scoped_session(sessionmaker(engine))
    app.extensions["shop"] = sessions
    redis_url = os.environ.get("SHOP_REDIS_URL")
    # A cache that does not answer at once is worth less than the query that it saves.
    app.extensions["shop_charges"] = itertools.count(1)
    app.extensions["shop_payments"] = os.environ.get("SHOP_PAYMENTS_URL")
    app.extensions["shop_cache"] = Redis.from_url(redis_url, socket_timeout=0.25) if redis_url else None

    @app.before_request
    def _know_user() -> None:
        otelflask.set_user(request.headers.get("X-Shop-User"))

    @app.teardown_appcontext
    def _end_session(error: BaseException | None) -> None:
        sessions.remove()

    _add_pages(app)
    _add_orders(app)
    _add_faults(app)
    live_stock.add(app)
    jobs.add(app)
    return app


def _session() -> Session:
    session: Session = current_app.extensions["shop"]()
    return session


def _as_dict(product: Product) -> dict[str, Any]:
    return {"id": product.id, "name": product.name, "price": product.price, "stock": product.stock}


def _add_pages(app: Flask) -> None:
    @app.get("/ping")
    def ping() -> str:
        return "pong"

    @app.get("/")
    def index() -> str:
        count = _session().scalar(select(func.count()).select_from(Product))
        return (
            f"<!doctype html><title>Shop</title><h1>Shop</h1><p>{count} products. <a href=/api/products>See them.</a>"
        )

    @app.get("/api/products")
    def products() -> Response:
        page = request.args.get("page", 1, type=int)
        if page < 1:
            abort(400, "page starts at 1")
        session = _session()
        total = session.scalar(select(func.count()).select_from(Product))
        found = session.scalars(select(Product).order_by(Product.id).offset((page - 1) * 10).limit(10)).all()
        logger.info("listed %d products", len(found), extra={"page": page})
        return jsonify(products=[_as_dict(product) for product in found], total=total)

    @app.get("/api/products/featured")
    def featured() -> Response:
        cache: Redis | None = current_app.extensions["shop_cache"]
        cached: Any = None
        if cache is not None:
            try:
                cached = cache.get("featured")
            except RedisError as error:
                logger.warning("the cache does not answer: %s", error)
                cache = None
        if cached is not None:
            return Response(cached, mimetype="application/json")
        found = _session().scalars(select(Product).where(Product.featured).order_by(Product.id)).all()
        # Worth a cache.
        time.sleep(RANKING_S)
        answer = jsonify(products=[_as_dict(product) for product in found])
        if cache is not None:
            try:
                cache.set("featured", answer.get_data(), ex=10)
            except RedisError as error:
                logger.warning("the cache does not answer: %s", error)
        return answer

    @app.get("/api/products/<int:product_id>")
    def product(product_id: int) -> Response:
        found = _session().get(Product, product_id)
        if found is None:
            abort(404)
        return jsonify(_as_dict(found))

    @app.get("/api/products/ratings")
    def ratings() -> Response:
        # An N+1 on purpose: each product's reviews are loaded by their own statement.
        found = _session().scalars(select(Product).order_by(Product.id).limit(20)).all()
        return jsonify({p.name: sum(r.stars for r in p.reviews) / len(p.reviews) for p in found})


def _add_orders(app: Flask) -> None:
    @app.post("/api/products/<int:product_id>/purchase")
    def purchase(product_id: int) -> tuple[Response, int]:
        body = request.get_json(silent=True)
        quantity = body.get("quantity", 1) if isinstance(body, dict) else 1
        if type(quantity) is not int or not 0 < quantity <= 100:
            abort(400, "quantity is a whole number from 1 to 100")
        session = _session()
        # One statement checks and takes, so that two buyers cannot both get the last one.
        taken: Any = session.execute(
            update(Product)
            .where(Product.id == product_id, Product.stock >= quantity)
            .values(stock=Product.stock - quantity)
            .execution_options(synchronize_session=False)
        )
        if taken.rowcount != 1:
            session.rollback()
            if session.get(Product, product_id) is None:
                abort(404)
            logger.warning("sold out", extra={"product_id": product_id, "quantity": quantity})
            abort(409, "not enough in stock")
        order = Order(product_id=product_id, quantity=quantity)
        session.add(order)
        session.commit()
        found = session.get_one(Product, product_id)
        try:
            _charge(found.price * quantity)
        except AppError:
            # Return what was reserved.
            session.delete(order)
            found.stock = Product.stock + quantity
            session.commit()
            raise
        otelflask.event("order.placed", order_id=order.id, product_id=product_id, quantity=quantity)
        jobs.send_confirmation(order.id)
        return jsonify(order_id=order.id), 201

    @app.get("/api/orders")
    def orders() -> Response:
        found = _session().scalars(select(Order).order_by(Order.id.desc()).limit(20)).all()
        return jsonify(orders=[{"id": o.id, "product_id": o.product_id, "quantity": o.quantity} for o in found])

    @app.post("/api/users")
    def register() -> tuple[Response, int]:
        body = request.get_json(silent=True)
        name = body.get("name") if isinstance(body, dict) else None
        if not isinstance(name, str) or not 0 < len(name) <= 40:
            abort(400, "name is a text of 1 to 40 characters")
        session = _session()
        user = User(name=name)
        session.add(user)
        try:
            session.commit()
        except IntegrityError:
            session.rollback()
            logger.warning("name is taken")
            abort(409, "this name is taken")
        return jsonify(id=user.id, name=user.name), 201


def _charge(amount: float) -> None:
    """Charge the payment service, if there is one. Raises AppError where it fails, or where the bank declines."""
    if next(current_app.extensions["shop_charges"]) % DECLINED_EVERY == 0:
        raise PaymentDeclinedError
    url = current_app.extensions["shop_payments"]
    if url is None:
        return
    try:
        with payments.calling():
            requests.post(f"{url}/charges", json={"amount": amount}, timeout=1).raise_for_status()
    except requests.Timeout as error:
        raise ExternalTimeoutError("the payment service does not answer") from error
    except requests.RequestException as error:
        raise ExternalServiceError("the payment service fails") from error


def _add_faults(app: Flask) -> None:
    @app.get("/boom")
    @app.get("/simulate-error")
    def simulate_error() -> Response:
        logger.info("about to fail")
        # Two bugs that end in the same function: two groups of reports.
        if request.args.get("at") == "checkout":
            return _fail(amount=request.args.get("amount", 7, type=int))
        return _fail(amount=0)

    @app.get("/slow-query")
    def slow_query() -> Response:
        session = _session()
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("SELECT pg_sleep(1.2)"))
        else:
            # Counts for more than a second, in one statement, because SQLite has no sleep.
            counting = text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :steps) "
                "SELECT count(*) FROM n"
            )
            steps, elapsed = 500_000, 0.0
            while elapsed < 1.1:
                started = time.monotonic()
                session.execute(counting, {"steps": steps}).scalar()
                elapsed = time.monotonic() - started
                # The speed of counting depends on the machine's load.
                steps = int(steps * max(1.2, 1.3 / elapsed))
        return jsonify(ok=True)

    @app.get("/failing-dependency")
    def failing_dependency() -> tuple[Response, int]:
        try:
            # Port 9 is "discard": nobody listens.
            urllib.request.urlopen("http://127.0.0.1:9/rates", timeout=0.5)
        except (urllib.error.URLError, OSError):
            logger.exception("the currency service does not answer")
            return jsonify(error="the currency service does not answer"), 503
        return jsonify(ok=True), 200

    @app.post("/simulate-outage")
    def simulate_outage() -> Response:
        # Payments fail for a while. After five failures the breaker answers at once.
        url = current_app.extensions["shop_payments"]
        if url is None:
            abort(404, "there is no payment service")
        seconds = request.args.get("seconds", 20, type=int)
        requests.post(f"{url}/outage", params={"seconds": seconds}, timeout=1).raise_for_status()
        return jsonify(seconds=seconds)

    @app.get("/api/reviews/count")
    def review_count() -> Response:
        return jsonify(count=_session().scalar(select(func.count()).select_from(Review)))


def _fail(amount: int) -> Response:
    raise RuntimeError(f"simulated error over {amount}")
