"""Circuits whose state several share by a real redis, which may hang or go away."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import flask
import pybreaker
import pytest

import otelflask
from otelflask.breaker import CircuitBreaker, CircuitOpenError
from otelflask.circuits.state import REDIS_PAUSE_S, LocalState, RedisState
from otelflask.circuits.telemetry import REDIS_TIMEOUT_S, Breakers
from otelflask.testing import CapturedTelemetry


def _fail() -> None:
    raise ConnectionError


def _state(url: str, telemetry: CapturedTelemetry, key: str) -> RedisState:
    """As one process of a service has it."""
    client = Breakers(telemetry.logger_provider, telemetry.meter_provider, url, "shop/").redis()
    return RedisState(client, key, LocalState())


def test_what_one_process_has_opened_is_open_in_the_others(redis_url: str, telemetry: CapturedTelemetry) -> None:
    one, other = (_state(redis_url, telemetry, "shared") for _ in range(2))
    assert one.count(one.load(), "failures") == 1
    assert other.count(other.load(), "failures") == 2
    assert one.move(one.load(), pybreaker.STATE_OPEN, 12.5)
    assert (other.load().name, other.load().changed_at) == (pybreaker.STATE_OPEN, "12.5")


def test_only_one_of_two_changes_a_state_that_both_have_read(redis_url: str, telemetry: CapturedTelemetry) -> None:
    one, other = (_state(redis_url, telemetry, "race") for _ in range(2))
    known = one.load()
    assert one.move(known, pybreaker.STATE_OPEN, 1.0)
    assert not other.move(known, pybreaker.STATE_OPEN, 2.0)


def test_the_trials_of_all_processes_together_are_a_set_number(redis_url: str, telemetry: CapturedTelemetry) -> None:
    states = [_state(redis_url, telemetry, "trials") for _ in range(4)]
    taken = [state.take_trial(state.load(), 3, 30.0) for state in states]
    assert sorted(trial for trial in taken if trial is not None) == [0, 1, 2]


@pytest.fixture
def silent_redis() -> Iterator[str]:
    """Takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}"


def test_a_redis_that_hangs_costs_one_wait_and_the_breaker_works_on(
    silent_redis: str, telemetry: CapturedTelemetry
) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, breaker_redis=silent_redis, **telemetry.providers)
    breaker = CircuitBreaker("hangs", failure_threshold=3)
    started = time.monotonic()
    with app.app_context():
        for _ in range(3):
            with pytest.raises(ConnectionError):
                breaker.call(_fail)
        with pytest.raises(CircuitOpenError):
            breaker.call(_fail)
    # One wait for all calls of a pause; not one each, let alone redis-py's twelve seconds.
    assert time.monotonic() - started < min(REDIS_PAUSE_S, 10 * REDIS_TIMEOUT_S)
