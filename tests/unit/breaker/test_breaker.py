"""Circuit breakers, with their state in the process and in a real redis."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest

import otelflask
from otelflask._internal import event_names
from otelflask._internal.breaker import registry
from otelflask._internal.breaker.breaker import CircuitBreaker, CircuitOpenError
from otelflask.testing import CapturedTelemetry

_numbers = itertools.count()


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["process", "redis"])
def shared(request: pytest.FixtureRequest) -> str:
    """Where the state is: the URL of a real redis, or an empty text."""
    return "" if request.param == "process" else str(request.getfixturevalue("redis_url"))


@pytest.fixture
def app(telemetry: CapturedTelemetry, shared: str) -> Iterator[flask.Flask]:
    """An app with breakers in its context."""
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, breaker_redis=shared, **telemetry.providers)
    with app.app_context():
        yield app


Make = Callable[..., CircuitBreaker]


@pytest.fixture
def make(app: flask.Flask, clock: Clock) -> Make:
    def made(**options: Any) -> CircuitBreaker:
        return CircuitBreaker(f"payments-{next(_numbers)}", **{"failure_threshold": 3, "clock": clock, **options})

    return made


def _fail(error: BaseException | None = None) -> None:
    raise error or ConnectionError("refused")


def _open(breaker: CircuitBreaker) -> None:
    for _ in range(breaker.failure_threshold):
        with pytest.raises(ConnectionError):
            breaker.call(_fail)


def test_it_opens_after_so_many_failures_in_a_row_and_says_when_to_come_again(make: Make, clock: Clock) -> None:
    breaker = make(reset_timeout=30.0)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            breaker.call(_fail)
    assert breaker.call(lambda: 7) == 7
    _open(breaker)
    clock.now += 10
    with pytest.raises(CircuitOpenError) as refused:
        breaker.call(lambda: 7)
    assert refused.value.headers["Retry-After"] == "20"
    assert breaker.state == "open"


def test_the_exception_that_opens_it_is_the_callers(make: Make) -> None:
    breaker = make(failure_threshold=1)
    with pytest.raises(ConnectionError, match="refused"):
        breaker.call(_fail)


def test_a_trial_that_goes_well_closes_it_and_one_that_fails_opens_it_again(make: Make, clock: Clock) -> None:
    breaker = make(reset_timeout=30.0)
    _open(breaker)
    clock.now += 31
    with pytest.raises(ConnectionError):
        breaker.call(_fail)
    assert breaker.state == "open"
    clock.now += 29
    with pytest.raises(CircuitOpenError):
        breaker.call(lambda: 7)
    clock.now += 2
    assert breaker.call(lambda: 7) == 7
    assert breaker.state == "closed"


def test_calls_run_in_parallel(make: Make) -> None:
    breaker = make()
    together = threading.Barrier(8, timeout=60)
    threads = [threading.Thread(target=breaker.call, args=(together.wait,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # If one had waited for another, none would have passed.
    assert not together.broken


def test_half_open_lets_a_set_number_through_and_no_more(app: flask.Flask, make: Make, clock: Clock) -> None:
    breaker = make(half_open_calls=2)
    _open(breaker)
    clock.now += 31
    inside, outcomes = threading.Semaphore(0), []
    leave = threading.Event()

    def trial() -> None:
        inside.release()
        leave.wait(60)

    def one() -> None:
        with app.app_context():
            try:
                breaker.call(trial)
                outcomes.append("through")
            except CircuitOpenError:
                outcomes.append("rejected")

    threads = [threading.Thread(target=one) for _ in range(10)]
    for thread in threads:
        thread.start()
    while len(outcomes) < 8:
        time.sleep(0.01)
    assert outcomes == ["rejected"] * 8
    leave.set()
    for thread in threads:
        thread.join()
    assert outcomes.count("through") == 2
    assert breaker.state == "closed"


def test_a_trial_that_never_ends_does_not_keep_it_half_open_for_ever(make: Make, clock: Clock) -> None:
    breaker = make(reset_timeout=0.2)
    _open(breaker)
    clock.now += 1
    hanging = breaker.calling()
    hanging.__enter__()
    with pytest.raises(CircuitOpenError):
        breaker.call(lambda: 7)
    clock.now += 1
    time.sleep(0.3)
    assert breaker.call(lambda: 7) == 7
    assert breaker.state == "closed"


def test_the_result_of_a_call_that_began_in_another_period_does_not_count(make: Make, clock: Clock) -> None:
    breaker = make(failure_threshold=1)
    late = breaker.calling()
    late.__enter__()
    _open(breaker)
    clock.now += 31
    assert breaker.call(lambda: 7) == 7
    error = ConnectionError("late")
    assert not late.__exit__(ConnectionError, error, None)
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    "expected",
    [ConnectionError, (ConnectionError, TimeoutError), lambda error: isinstance(error, ConnectionError)],
    ids=["class", "classes", "function"],
)
def test_only_expected_exceptions_are_failures_and_others_are_no_success_either(
    make: Make, clock: Clock, expected: Any
) -> None:
    breaker = make(expected_exception=expected)
    for error in (LookupError(), SystemExit(), LookupError(), LookupError()):
        with pytest.raises(type(error)):
            breaker.call(_fail, error)
    assert breaker.state == "closed"
    _open(breaker)
    clock.now += 31
    with pytest.raises(LookupError):
        breaker.call(_fail, LookupError())
    assert breaker.state == "half_open"
    assert breaker.call(lambda: 7) == 7


def test_the_fallback_answers_with_the_same_arguments_while_it_is_open(make: Make) -> None:
    @make(failure_threshold=1, fallback=lambda amount: -amount)
    def charge(amount: int) -> int:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        charge(5)
    assert charge(5) == -5


def test_it_decorates_coroutine_functions_and_generator_functions(make: Make) -> None:
    breaker = make(failure_threshold=2)

    @breaker
    async def awaited() -> None:
        await asyncio.sleep(0)
        raise ConnectionError

    @breaker
    def yielded() -> Iterator[int]:
        yield 1
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(awaited())
    with pytest.raises(ConnectionError):
        list(yielded())
    with pytest.raises(CircuitOpenError):
        asyncio.run(awaited())
    with pytest.raises(CircuitOpenError):
        list(yielded())


def test_each_change_is_a_record_and_an_event_of_the_current_span(
    app: flask.Flask, make: Make, telemetry: CapturedTelemetry
) -> None:
    breaker = make(failure_threshold=1)

    @app.get("/pay")
    def pay() -> str:
        breaker.call(_fail)
        return "paid"

    assert app.test_client().get("/pay").status_code == 500
    (record,) = [record for record in telemetry.logs if record.event_name == event_names.CIRCUIT_BREAKER]
    span = telemetry.span("GET /pay")
    assert (record.severity_text, record.span_id) == ("WARN", span.context.span_id)
    assert record.body == f"circuit breaker {breaker.name}: closed → open, 1 failures in a row: ConnectionError"
    (event,) = [event for event in span.events if event.name == event_names.CIRCUIT_BREAKER]
    assert dict(event.attributes or {}) == {
        "otelflask.circuit_breaker.name": breaker.name,
        "otelflask.circuit_breaker.state": "open",
        "otelflask.circuit_breaker.previous_state": "closed",
    }


def test_state_and_calls_by_outcome_are_metrics(make: Make, telemetry: CapturedTelemetry) -> None:
    breaker = make(expected_exception=ConnectionError)
    breaker.call(lambda: 7)
    with pytest.raises(LookupError):
        breaker.call(_fail, LookupError())
    _open(breaker)
    with pytest.raises(CircuitOpenError):
        breaker.call(lambda: 7)

    def values(metric: str, label: str) -> dict[Any, Any]:
        return {
            point.attributes[f"otelflask.circuit_breaker.{label}"]: point.value
            for point in telemetry.points(f"otelflask.circuit_breaker.{metric}")
            if point.attributes["otelflask.circuit_breaker.name"] == breaker.name
        }

    assert values("state", "state") == {"closed": 0, "half_open": 0, "open": 1}
    assert values("calls", "outcome") == {"success": 1, "other": 1, "failure": 3, "rejected": 1}


def test_open_is_answered_as_a_503_with_retry_after(app: flask.Flask, make: Make) -> None:
    breaker = make()
    breaker.open()
    app.add_url_rule("/api/pay", "pay", breaker(lambda: "paid"))
    answer = app.test_client().get("/api/pay")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert answer.json is not None
    assert answer.json["status"] == 503
    breaker.close()
    assert app.test_client().get("/api/pay").text == "paid"


def test_a_clock_that_is_set_back_keeps_it_open_no_longer(make: Make, clock: Clock) -> None:
    breaker = make(reset_timeout=30.0)
    _open(breaker)
    clock.now -= 3_600
    with pytest.raises(CircuitOpenError) as refused:
        breaker.call(lambda: 7)
    assert refused.value.headers["Retry-After"] == "30"


def test_a_function_that_says_what_is_expected_and_raises_changes_no_exception(make: Make) -> None:
    breaker = make(expected_exception=lambda error: error.status == 503)
    with pytest.raises(ConnectionError, match="refused"):
        breaker.call(_fail)


@pytest.mark.parametrize("shared", ["process"], indirect=True)
def test_a_trial_of_a_period_that_is_over_is_not_let_through(make: Make, clock: Clock) -> None:
    breaker = make(failure_threshold=1)
    state = breaker._local
    breaker.half_open()
    known = state.load()
    breaker.open()
    assert state.take_trial(known, 1, 30.0) is None


@pytest.mark.parametrize(
    "wrong", [{"failure_threshold": 0}, {"half_open_calls": 0}, {"reset_timeout": 0}, {"name": ""}], ids=str
)
def test_what_is_not_allowed_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="allowed"):
        CircuitBreaker(**{"name": "free", **wrong})


@pytest.mark.parametrize("shared", ["process"], indirect=True)
def test_a_second_breaker_of_a_name_goes_on_counting_where_the_first_was(
    app: flask.Flask, telemetry: CapturedTelemetry
) -> None:
    for _ in range(2):
        CircuitBreaker("made-by-a-factory").call(lambda: 7)
    (point,) = [
        point
        for point in telemetry.points("otelflask.circuit_breaker.calls")
        if point.attributes["otelflask.circuit_breaker.name"] == "made-by-a-factory"
    ]
    assert point.value == 2


def _named() -> list[str]:
    return [state["name"] for state in registry.states()]


def test_without_a_name_it_has_that_of_the_function(app: flask.Flask) -> None:
    breaker = CircuitBreaker(failure_threshold=1, timeout=60, expected_exception=ConnectionError)
    assert breaker.reset_timeout == 60

    @breaker
    def charge() -> str:
        return "charged"

    assert charge() == "charged"
    name = f"{__name__}.test_without_a_name_it_has_that_of_the_function.<locals>.charge"
    assert breaker.name == name
    assert name in _named()
    called = CircuitBreaker()
    assert called.call(max, 1, 2) == 2
    assert called.name == "builtins.max"


def test_without_a_name_and_a_function_it_has_that_of_its_line(app: flask.Flask) -> None:
    breaker = CircuitBreaker()
    with breaker.calling():
        pass
    assert re.fullmatch(rf"{__name__}:\d+", breaker.name)
    assert breaker.name in _named()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": ""}, "allowed is a text such as payments, or none"),
        ({"name": 3}, "3 is no name"),
        ({"timeout": 1, "reset_timeout": 1}, "two names of one argument"),
        ({"timeout": 0}, "more than 0 seconds"),
    ],
)
def test_what_cannot_work_is_an_error(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CircuitBreaker(**options)


def test_a_client_is_not_told_a_name_of_the_code(app: flask.Flask) -> None:
    breaker = CircuitBreaker(failure_threshold=1, expected_exception=ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        breaker.call(lambda: 1 / 0)
    with pytest.raises(CircuitOpenError, match=r"^a service is not available now$"):
        breaker.call(lambda: 1)
