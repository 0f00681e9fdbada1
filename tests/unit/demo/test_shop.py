"""The shop works as a shop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import flask
import pytest
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from otelflask.demo.models import STOCK, Product
from otelflask.demo.payments import create_app as create_payments
from otelflask.demo.shop import payments
from otelflask.testing import CapturedTelemetry


def test_pages_answer(shop: flask.Flask) -> None:
    client = shop.test_client()
    assert b"60 products" in client.get("/").data
    assert len(client.get("/api/products?page=6").json["products"]) == 10  # type: ignore[index]
    assert len(client.get("/api/products/featured").json["products"]) == 6  # type: ignore[index]
    assert client.get("/api/products/7").json["stock"] == STOCK  # type: ignore[index]
    assert client.get("/api/products/999").status_code == 404
    assert client.get("/api/products?page=0").status_code == 400
    assert client.get("/simulate-error").status_code == 500
    assert client.get("/failing-dependency").status_code == 503
    assert client.get("/slow-query").status_code == 200


def test_stock_is_never_oversold_under_concurrent_buyers(shop: flask.Flask) -> None:
    with Session(shop.extensions["shop"]().get_bind()) as session:
        product = session.get(Product, 1)
        assert product is not None
        product.stock = 5
        session.commit()

    def buy(_: int) -> int:
        return shop.test_client().post("/api/products/1/purchase", json={"quantity": 1}).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(buy, range(20)))
    assert sorted(statuses) == [201] * 5 + [409] * 15
    client = shop.test_client()
    assert client.get("/api/products/1").json["stock"] == 0  # type: ignore[index]
    assert len(client.get("/api/orders").json["orders"]) == 5  # type: ignore[index]


def test_a_race_for_a_name_is_a_409_and_the_next_request_works(shop: flask.Flask) -> None:
    def register(_: int) -> int:
        return shop.test_client().post("/api/users", json={"name": "ann"}).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(register, range(8)))
    assert statuses == [201] + [409] * 7
    assert shop.test_client().post("/api/users", json={"name": "bob"}).status_code == 201


@pytest.mark.parametrize("body", [None, [], {"quantity": 0}, {"quantity": "1"}, {"quantity": True}, {"quantity": 101}])
def test_a_quantity_that_is_not_allowed_is_a_400(shop: flask.Flask, body: object) -> None:
    status = shop.test_client().post("/api/products/1/purchase", json=body).status_code
    assert status == (201 if body in (None, []) else 400)


def test_the_n_plus_1_page_is_one_trace_of_many_statements(shop: flask.Flask, telemetry: CapturedTelemetry) -> None:
    telemetry.clear()
    shop.test_client().get("/api/products/ratings")
    assert [span.name for span in telemetry.spans].count("SELECT reviews") == 20
    assert len({span.get_span_context().trace_id for span in telemetry.spans}) == 1  # type: ignore[union-attr]


@pytest.fixture
def payment_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The second process of the demo, as a thread. The shop knows its address."""
    with monkeypatch.context() as environment:
        # Otherwise its telemetry would be the process's.
        environment.setenv("OTEL_SDK_DISABLED", "true")
        service = create_payments()
    listening = make_server("127.0.0.1", 0, service, threaded=True)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    monkeypatch.setenv("SHOP_PAYMENTS_URL", f"http://127.0.0.1:{listening.server_port}")
    yield
    listening.shutdown()
    thread.join()
    listening.server_close()
    payments.close()


@pytest.mark.usefixtures("payment_service")
class TestPayments:
    """The shop and its payment service."""

    def test_a_purchase_is_charged_in_the_same_trace(self, shop: flask.Flask, telemetry: CapturedTelemetry) -> None:
        answer = shop.test_client().post("/api/products/7/purchase", json={"quantity": 2})
        assert answer.status_code == 201
        call = telemetry.span("POST")
        request = telemetry.span("POST /api/products/<int:product_id>/purchase")
        assert call.context.trace_id == request.context.trace_id

    def test_what_cannot_be_charged_is_not_sold(self, shop: flask.Flask) -> None:
        client = shop.test_client()
        assert client.post("/simulate-outage?seconds=60").status_code == 200
        statuses = [client.post("/api/products/7/purchase", json={"quantity": 1}).status_code for _ in range(7)]
        # The breaker opens, and the service is not called any more.
        assert statuses == [502] * 5 + [503] * 2
        answer = client.post("/api/products/7/purchase", json={"quantity": 1})
        assert 0 < int(answer.headers["Retry-After"]) <= 15
        assert client.get("/api/products/7").json["stock"] == STOCK  # type: ignore[index]
        assert client.get("/api/orders").json == {"orders": []}
