"""The shop's payment service: a second process, so that a trace crosses processes."""

from __future__ import annotations

import logging
import time

from flask import Flask, Response, jsonify, request

import otelflask
from otelflask.errors import BadRequestError, ServiceUnavailableError

logger = logging.getLogger("otelflask.demo.payments")


def create_app() -> Flask:
    """Make the payment service. It has no database, and does what a request says."""
    app = Flask("payments")
    # After the shop in a sorted list of services, so that dashboards open with the shop.
    otelflask.init(app, service_name="shop-payments")
    # Until when it fails on purpose (time.monotonic). The service has one process.
    outage = {"until": 0.0}

    @app.post("/charges")
    def charge() -> tuple[Response, int]:
        body = request.get_json(silent=True)
        amount = body.get("amount") if isinstance(body, dict) else None
        if not isinstance(amount, (int, float)) or amount <= 0:
            raise BadRequestError("amount is a number above 0")
        if time.monotonic() < outage["until"]:
            raise ServiceUnavailableError("the bank does not answer")
        logger.info("charged", extra={"amount": amount})
        return jsonify(charged=amount), 201

    @app.post("/outage")
    def begin_outage() -> Response:
        seconds = min(request.args.get("seconds", 20, type=int), 300)
        outage["until"] = time.monotonic() + seconds
        return jsonify(seconds=seconds)

    return app
