"""The public API as an app uses it, with the types that it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flask import Blueprint, Flask, Response
from typing_extensions import assert_type

import otelflask
from otelflask import errors, health
from otelflask.breaker import CircuitBreaker, CircuitOpenError
from otelflask.errors import Answer, AppError, ValidationError
from otelflask.testing import CapturedTelemetry, FakeCollector, FixedClock, Received, Reply

app = Flask("shop")


def start() -> None:
    assert_type(otelflask.init(app), otelflask.OtelFlask)
    otelflask.init(
        app,
        service_name="shop",
        log_console="json",
        slow_query_threshold=0.5,
        error_renderer=lambda problem: {"text": problem.message},
        error_fingerprint=lambda error: ["payments"] if isinstance(error, TimeoutError) else None,
        rollback_sessions=[],
        user=lambda: 7,
        may_monitor=lambda environ: environ["REMOTE_ADDR"] == "10.0.0.1",
        redact_names=["iban", "salary"],
    )
    otelflask.OtelFlask(log_dir="logs").init_app(app)
    # Each of these is an error: mypy reports a comment that is not needed.
    otelflask.init(app, servicename="shop")  # type: ignore[call-arg]
    otelflask.init(app, slow_query_threshold="much")  # type: ignore[arg-type]
    otelflask.init("shop")  # type: ignore[arg-type]
    assert_type(otelflask.flush(), bool)
    otelflask.shutdown(timeout=2.0)
    otelflask.FlaskInstrumentor().instrument()
    otelflask.no_such_name()  # type: ignore[attr-defined]


def request() -> None:
    otelflask.event("order.placed", order_id=7, amount=12.5)
    otelflask.set_user(7)
    assert_type(otelflask.get_request_id(), str | None)


def answers(blueprint: Blueprint) -> None:
    assert_type(errors.success({"a": 1}), Response)
    assert_type(errors.created(location="/orders/7"), Response)
    errors.answer_errors_with(blueprint, "json")
    error = ValidationError(fields={"name": "is missing"})
    status: int = error.status
    raise AppError("No lamps are left.", status=status, code="out_of_stock", details={"left": 0})


def rendered(answer: Answer) -> dict[str, Any]:
    assert_type(answer.status, int)
    assert_type(answer.errors, dict[str, Any])
    return {"code": answer.code, "text": answer.message}


payments = CircuitBreaker("payments", failure_threshold=2, expected_exception=(OSError, TimeoutError))


@payments
def charge(amount: float) -> int:
    return round(amount)


def pay() -> None:
    # A decorated function keeps its type.
    assert_type(charge(12.5), int)
    charge("much")  # type: ignore[arg-type]
    assert_type(payments.call(charge, 12.5), int)
    assert_type(payments.state, str)
    with payments.calling():
        pass
    raised: type[AppError] = CircuitOpenError
    assert raised


@health.check("stock", critical=False, timeout=0.5)
def stock() -> int:
    return 7


assert_type(stock, Callable[[], int])


def test_kit(telemetry: CapturedTelemetry, clock: FixedClock, collector: FakeCollector) -> Iterator[None]:
    otelflask.init(app, **telemetry.providers)
    assert_type(telemetry.span("GET /").name, str)
    clock.advance(1.5)
    collector.script.append(Reply(503, {"Retry-After": "1"}))
    assert_type(collector.spans, list[Received])
    yield
