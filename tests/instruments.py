"""Make each instrument of otelflask, and print what there is as JSON: instruments, the metrics page, the resource.

A process of its own: what `init` adds to a process stays in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from typing import Any

import opentelemetry.sdk.metrics as sdk_metrics

_KINDS = ("counter", "up_down_counter", "histogram", "gauge")
_SETTINGS = {
    "OTELFLASK_METRICS_PATH": "/metrics",
    "OTELFLASK_MAIL_TO": "team@shop.example",
    "OTELFLASK_MAIL_FROM": "shop@shop.example",
    "OTELFLASK_MAIL_SERVER": "127.0.0.1",
    "OTELFLASK_SERVICE_VERSION": "1.2.3",
    "OTELFLASK_ENVIRONMENT": "testing",
    "OTEL_BSP_MAX_QUEUE_SIZE": "4",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4",
    "OTEL_BLRP_MAX_QUEUE_SIZE": "4",
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "4",
}


def _record(kind: str, found: dict[str, dict[str, str]]) -> None:
    """Note each instrument of a kind when it is made."""
    method = f"create_{kind}"
    make = getattr(sdk_metrics.Meter, method)

    def made(self: Any, name: str, *arguments: Any, **options: Any) -> Any:
        positional = arguments[1:] if kind.startswith("observable") else arguments
        given = dict(zip(("unit", "description"), positional, strict=False))
        found[name] = {"kind": kind.removeprefix("observable_"), "unit": "", "description": "", **given} | {
            key: value for key, value in options.items() if key in ("unit", "description")
        }
        return make(self, name, *arguments, **options)

    setattr(sdk_metrics.Meter, method, made)


def main() -> None:
    """Print the instruments and the names of the resource's attributes."""
    os.environ.update(_SETTINGS)
    found: dict[str, dict[str, str]] = {}
    for kind in (*_KINDS, *(f"observable_{kind}" for kind in _KINDS if kind != "histogram")):
        _record(kind, found)

    import flask_socketio  # noqa: F401
    import requests
    import sqlalchemy
    from celery import Celery, signals
    from flask import Flask
    from opentelemetry import metrics

    import otelflask
    from otelflask.breaker import CircuitBreaker
    from otelflask.testing import FakeCollector, Reply

    with tempfile.TemporaryDirectory() as folder, FakeCollector() as collector:
        os.environ.update(collector.environment())
        app = Flask("shop")
        otelflask.init(app, state_dir=folder, libraries="requests")
        breaker = CircuitBreaker("payments")

        @app.get("/boom")
        def boom() -> str:
            raise ValueError

        narrow = sqlalchemy.create_engine(
            f"sqlite:///{folder}/narrow.db",
            poolclass=sqlalchemy.QueuePool,
            pool_size=1,
            max_overflow=0,
            pool_timeout=0.01,
        )

        @app.post("/")
        def index() -> str:
            otelflask.set_user("7")
            with sqlalchemy.create_engine("sqlite://").connect() as connection:
                connection.execute(sqlalchemy.text("SELECT 1"))
            with narrow.connect(), contextlib.suppress(sqlalchemy.exc.TimeoutError):
                narrow.connect()
            breaker.call(str)
            otelflask.event("order.placed")
            try:
                requests.get("http://127.0.0.1:1/", timeout=1)
            except requests.ConnectionError:
                return "none"
            return "one"

        # As a worker does that is ready.
        signals.worker_ready.send(sender=type("Consumer", (), {"app": Celery("shop", broker="memory://")}))
        client = app.test_client()
        for method, path in (("POST", "/"), ("GET", "/boom"), ("GET", "/health")):
            client.open(path, method=method, data=b"lamp")
        # Full queues, then refused batches, then accepted ones.
        for default, count, timeout in ((Reply(503), 20, 0.5), (Reply(400), 0, 20.0), (Reply(), 1, 20.0)):
            collector.default = default
            for _ in range(count):
                client.post("/")
            otelflask.flush(timeout)
        page = client.get("/metrics", headers={"Host": "localhost"}).text
        resource = metrics.get_meter_provider()._sdk_config.resource  # type: ignore[attr-defined]
        print(json.dumps({"instruments": found, "page": page, "resource": sorted(resource.attributes)}), flush=True)
    # Without waiting for the mail.
    os._exit(0)


if __name__ == "__main__":
    main()
