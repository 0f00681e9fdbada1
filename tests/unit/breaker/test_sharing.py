"""Circuits that share their state through a real redis, which may hang or stop."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import flask
import pytest
import redis

import otelflask
from otelflask._internal.breaker.breaker import CircuitBreaker, CircuitOpenError
from otelflask._internal.breaker.redis_client import PAUSE_S, SharedRedis
from otelflask._internal.breaker.state import REDIS_TTL_S, LocalState, RedisState
from otelflask._internal.settings import SettingError
from otelflask.testing import CapturedTelemetry


def _fail() -> None:
    raise ConnectionError


def _state(url: str, key: str) -> RedisState:
    """The state of one process of a service."""
    return RedisState(SharedRedis(url), key, LocalState())


def test_what_one_process_has_opened_is_open_in_the_others(redis_url: str) -> None:
    one, other = (_state(redis_url, "shared") for _ in range(2))
    assert one.count(one.load(), "failures") == 1
    assert other.count(other.load(), "failures") == 2
    assert one.move(one.load(), "open", 12.5)
    assert (other.load().name, other.load().changed_at) == ("open", "12.5")


def test_only_one_of_two_changes_a_state_that_both_have_read(redis_url: str) -> None:
    one, other = (_state(redis_url, "race") for _ in range(2))
    known = one.load()
    assert one.move(known, "open", 1.0)
    assert not other.move(known, "open", 2.0)


def test_the_trials_of_all_processes_together_are_a_set_number(redis_url: str) -> None:
    states = [_state(redis_url, "trials") for _ in range(4)]
    taken = [state.take_trial(state.load(), 3, 30.0) for state in states]
    assert sorted(trial.slot for trial in taken if trial is not None) == [0, 1, 2]


def test_a_trial_that_is_given_back_late_frees_no_other_ones_place(redis_url: str) -> None:
    state = _state(redis_url, "late")
    first = state.take_trial(state.load(), 1, 0.05)
    assert first is not None
    time.sleep(0.1)
    assert state.take_trial(state.load(), 1, 30.0) is not None
    state.give_back_trial(state.load(), first)
    assert state.take_trial(state.load(), 1, 30.0) is None


def test_a_success_of_an_earlier_period_does_not_forget_this_ones_failures(redis_url: str) -> None:
    state = _state(redis_url, "periods")
    state.count(state.load(), "failures")
    earlier = state.load()
    assert state.move(earlier, "closed", 5.0)
    state.count(state.load(), "failures")
    state.forget_failures(earlier)
    assert state.load().failures == 1


def test_workers_of_an_earlier_version_know_a_state_by_the_name_that_they_have_for_it(redis_url: str) -> None:
    state = _state(redis_url, "spelling")
    state.move(state.load(), "half_open", 5.0)
    assert redis.Redis.from_url(redis_url).hget("spelling", "state") == b"half-open"
    assert state.load().name == "half_open"


def test_redis_forgets_what_nobody_changes(redis_url: str) -> None:
    state = _state(redis_url, "forgotten")
    state.count(state.load(), "failures")
    with redis.Redis.from_url(redis_url) as client:
        assert 0 < client.ttl("forgotten") <= REDIS_TTL_S


@pytest.mark.parametrize("url", ["localhost:6379", "http://127.0.0.1"])
def test_a_url_that_is_none_is_an_error_at_start(url: str, telemetry: CapturedTelemetry) -> None:
    with pytest.raises(SettingError, match="breaker_redis"):
        otelflask.init(flask.Flask("shop"), runtime_metrics=False, breaker_redis=url, **telemetry.providers)


def test_a_url_that_asks_for_texts_is_read_all_the_same(redis_url: str) -> None:
    state = _state(f"{redis_url}?decode_responses=True", "texts")
    state.move(state.load(), "open", 5.0)
    assert state.load().name == "open"


class SilentRedis:
    """Accepts connections, and never answers."""

    def __init__(self, server: socket.socket) -> None:
        self.url = f"redis://127.0.0.1:{server.getsockname()[1]}"
        self.connections: list[socket.socket] = []
        self._server = server

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.connections.append(self._server.accept()[0])


@pytest.fixture
def silent_redis() -> Iterator[SilentRedis]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        redis = SilentRedis(server)
        thread = threading.Thread(target=redis.accept)
        thread.start()
        yield redis
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in redis.connections:
            connection.close()


def test_a_redis_that_hangs_costs_one_wait_and_the_breaker_works_on(
    silent_redis: SilentRedis, telemetry: CapturedTelemetry
) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, breaker_redis=silent_redis.url, **telemetry.providers)
    started = time.monotonic()
    breakers = [CircuitBreaker(f"hangs-{number}", failure_threshold=3) for number in range(20)]
    with app.app_context():
        for breaker in breakers:
            for _ in range(3):
                with pytest.raises(ConnectionError):
                    breaker.call(_fail)
            with pytest.raises(CircuitOpenError):
                breaker.call(_fail)
    telemetry.points("otelflask.circuit_breaker.state")
    # One wait for all calls of all breakers until the pause ends, and not one each.
    assert 1 <= len(silent_redis.connections) <= 1 + (time.monotonic() - started) // PAUSE_S
