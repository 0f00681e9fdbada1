"""The shop's jobs and its live stock."""

from __future__ import annotations

import threading

import flask
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from websocket import create_connection
from werkzeug.serving import make_server

from otelflask.demo import jobs
from otelflask.demo.models import STOCK, Product
from otelflask.testing import CapturedTelemetry


@pytest.mark.parametrize(
    ("order", "states"), [(1, ["success"]), (jobs.BUSY_EVERY, ["retry", "success"]), (jobs.WRONG_EVERY, ["failure"])]
)
def test_most_mails_are_sent_some_are_tried_again_and_some_fail(
    shop: flask.Flask, telemetry: CapturedTelemetry, order: int, states: list[str]
) -> None:
    jobs.confirm.apply((order,))
    results = [record.attributes.get("otelflask.job.result") for record in telemetry.logs]
    assert [result for result in results if result] == states


def test_a_delivery_fills_up_what_is_nearly_sold_out(shop: flask.Flask) -> None:
    with Session(shop.extensions["shop"]().get_bind()) as session:
        session.get_one(Product, 1).stock = 3
        session.get_one(Product, 2).stock = STOCK - 3
        session.commit()
    with shop.app_context():
        jobs.deliver.apply().get()
    with Session(shop.extensions["shop"]().get_bind()) as session:
        stocks = session.scalars(select(Product.stock).where(Product.id < 3).order_by(Product.id)).all()
    assert stocks == [STOCK, STOCK - 3]


def test_a_command_delivers_at_once(shop: flask.Flask, telemetry: CapturedTelemetry) -> None:
    result = shop.test_cli_runner().invoke(args=["deliver"])
    assert result.exit_code == 0
    assert telemetry.span(f"{shop.name} deliver").attributes["process.exit.code"] == 0  # type: ignore[index]


def test_an_order_without_a_worker_has_no_mail(shop: flask.Flask) -> None:
    answer = shop.test_client().post("/api/products/1/purchase", json={"quantity": 1})
    assert answer.status_code == 201


def test_the_stock_is_sent_when_it_changes(shop: flask.Flask) -> None:
    server = make_server("127.0.0.1", 0, shop, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        client = create_connection(f"ws://127.0.0.1:{server.port}/api/products/7/stock", timeout=30)
        assert client.recv() == str(STOCK)
        shop.test_client().post("/api/products/7/purchase", json={"quantity": 2})
        assert client.recv() == str(STOCK - 2)
        client.close()
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()
