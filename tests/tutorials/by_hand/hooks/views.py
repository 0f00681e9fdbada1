"""The business code: products and orders."""

import random
import time
from typing import Any

from flask import Flask, abort, jsonify
from flask.typing import ResponseReturnValue

PRODUCTS = {
    1: {"id": 1, "name": "Teapot", "price": 24.0},
    2: {"id": 2, "name": "Kettle", "price": 39.5},
    3: {"id": 3, "name": "Cup", "price": 6.0},
    4: {"id": 4, "name": "Tray", "price": 18.0},
}
FAILURE_RATES = {1: 0.04, 2: 0.07, 3: 0.10, 4: 0.13}


class PaymentError(Exception):
    """The payment did not go through."""


def find(product_id: int) -> dict[str, Any]:
    """Find a product, or answer that there is none."""
    if product_id not in PRODUCTS:
        abort(404, f"There is no product {product_id}.")
    return PRODUCTS[product_id]


def init_app(app: Flask) -> None:
    """Add the routes."""
    orders: list[dict[str, Any]] = []

    @app.get("/api/products")
    def list_products() -> ResponseReturnValue:
        return jsonify(products=list(PRODUCTS.values()))

    @app.get("/api/products/<int:product_id>")
    def show_product(product_id: int) -> ResponseReturnValue:
        return jsonify(find(product_id))

    @app.get("/api/products/featured")
    def featured_products() -> ResponseReturnValue:
        time.sleep(0.3)
        return jsonify(products=[PRODUCTS[1], PRODUCTS[3]])

    @app.post("/api/products/<int:product_id>/purchase")
    def purchase(product_id: int) -> ResponseReturnValue:
        product = find(product_id)
        if random.random() < FAILURE_RATES[product_id]:
            raise PaymentError(f"the payment for {product['name']} failed")
        order = {"id": len(orders) + 1, "product_id": product_id, "price": product["price"]}
        orders.append(order)
        return jsonify(order), 201

    @app.get("/api/orders")
    def list_orders() -> ResponseReturnValue:
        return jsonify(orders=orders)

    @app.get("/simulate-error")
    def simulate_error() -> ResponseReturnValue:
        raise RuntimeError("an error on purpose")
