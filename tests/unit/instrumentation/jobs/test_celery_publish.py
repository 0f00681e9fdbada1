"""The span of a publish ends, whatever the broker answers."""

from __future__ import annotations

from collections.abc import Iterator

import celery
import flask
import kombu.exceptions
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

import otelflask
from otelflask._internal.instrumentation import jobs
from otelflask.testing import CapturedTelemetry

REFUSING, ACCEPTING = "redis://127.0.0.1:1/0", "memory://"


@pytest.fixture
def app(telemetry: CapturedTelemetry) -> Iterator[flask.Flask]:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    yield app
    jobs.uninstrument()


@pytest.mark.parametrize("broker", [REFUSING, ACCEPTING], ids=["refused", "accepted"])
@pytest.mark.parametrize("known", [True, False], ids=["known task", "task of another process"])
def test_the_span_of_a_publish_ends_and_what_follows_belongs_to_the_request(
    app: flask.Flask, telemetry: CapturedTelemetry, broker: str, known: bool
) -> None:
    queue = celery.Celery("work", broker=broker, set_as_current=False)
    queue.conf.broker_transport_options = {"socket_connect_timeout": 1}

    @queue.task(name="work.ship", shared=False)
    def ship(order: int) -> None:
        pass

    @app.get("/order")
    def order() -> str:
        before = trace.get_current_span()
        try:
            if known:
                ship.apply_async((1,), retry=False)
            else:
                queue.send_task("elsewhere.ship", (1,), retry=False)
        except kombu.exceptions.OperationalError:
            assert broker == REFUSING
        else:
            assert broker == ACCEPTING
        assert trace.get_current_span() is before
        return "ok"

    assert app.test_client().get("/order").status_code == 200
    request = telemetry.span("GET /order")
    publish = telemetry.span(f"send {'work' if known else 'elsewhere'}.ship")
    assert (publish.kind, publish.parent.span_id) == (SpanKind.PRODUCER, request.context.span_id)  # type: ignore[union-attr]
    failed = broker == REFUSING
    assert (publish.status.status_code is StatusCode.ERROR) == failed
    assert [event.name for event in publish.events] == ["exception"] * failed
