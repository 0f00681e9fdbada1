"""Where a circuit's state is: in this process, or in a redis that several share."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

from opentelemetry.instrumentation.utils import suppress_instrumentation
from pybreaker import STATE_CLOSED, STATE_OPEN, CircuitBreakerStorage

from otelflask import guard

T = TypeVar("T")

#: Seconds that a redis that did not answer is left alone.
REDIS_PAUSE_S = 5.0
#: Seconds after which redis forgets a circuit that nobody has changed.
REDIS_TTL_S = 7 * 86_400
#: Sets the state only where nobody else has changed it since it was read.
_MOVE = """
local known = redis.call('HGET', KEYS[1], 'changed_at') or '0'
if known ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'changed_at', ARGV[3], 'failures', 0, 'successes', 0)
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A circuit at one moment; `changed_at` (epoch seconds as text) names the period that its state has lasted."""

    name: str = STATE_CLOSED
    changed_at: str = "0"
    failures: int = 0


class State(CircuitBreakerStorage):
    """pybreaker's storage, with what a decision needs at once and without its lock."""

    @abstractmethod
    def load(self) -> Snapshot:
        """The state now."""

    @abstractmethod
    def move(self, known: Snapshot, name: str, at: float) -> bool:
        """Go to another state, unless somebody has since `known`. In: its name, epoch seconds. Out: whether it did."""

    @abstractmethod
    def count(self, known: Snapshot, counter: str) -> int:
        """One more of ``failures`` or ``successes`` in this period. Out: how many; 0 where the period is over."""

    @abstractmethod
    def forget_failures(self, known: Snapshot) -> None:
        """A call that began then went well: failures in a row start anew."""

    @abstractmethod
    def take_trial(self, known: Snapshot, limit: int, lease: float) -> int | None:
        """One of `limit` trials of a half-open period, free after `lease` seconds. Out: which; None: all are taken."""

    @abstractmethod
    def give_back_trial(self, known: Snapshot, trial: int) -> None:
        """A trial that says nothing about the service."""

    @property  # type: ignore[misc]
    def state(self) -> str:
        return self.load().name

    @property
    def counter(self) -> int:
        return self.load().failures

    @property
    def success_counter(self) -> int:
        return 0

    @property  # type: ignore[misc]
    def opened_at(self) -> datetime | None:
        known = self.load()
        return datetime.fromtimestamp(float(known.changed_at), timezone.utc) if known.name == STATE_OPEN else None


class LocalState(State):
    """Of this process."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__("memory")
        self._clock = clock
        self._snapshot = Snapshot()
        self._successes = 0
        self._trials: dict[int, float] = {}
        self.after_fork()

    def after_fork(self) -> None:
        """A lock that another thread of the parent held is not ours."""
        self._lock = threading.Lock()

    def load(self) -> Snapshot:
        return self._snapshot

    def move(self, known: Snapshot, name: str, at: float) -> bool:
        with self._lock:
            if self._snapshot.changed_at != known.changed_at:
                return False
            self._snapshot = Snapshot(name, repr(at))
            self._successes = 0
            self._trials.clear()
            return True

    def count(self, known: Snapshot, counter: str) -> int:
        with self._lock:
            now = self._snapshot
            if now.changed_at != known.changed_at:
                return 0
            if counter == "successes":
                self._successes += 1
                return self._successes
            self._snapshot = Snapshot(now.name, now.changed_at, now.failures + 1)
            return self._snapshot.failures

    def forget_failures(self, known: Snapshot) -> None:
        with self._lock:
            now = self._snapshot
            if now.failures and now.changed_at == known.changed_at:
                self._snapshot = Snapshot(now.name, now.changed_at)

    def take_trial(self, known: Snapshot, limit: int, lease: float) -> int | None:
        with self._lock:
            now = self._clock()
            for trial in range(limit):
                if self._trials.get(trial, -lease) + lease <= now:
                    self._trials[trial] = now
                    return trial
            return None

    def give_back_trial(self, known: Snapshot, trial: int) -> None:
        with self._lock:
            self._trials.pop(trial, None)


class RedisState(State):
    """Shared by all who use the same redis; this process's own while redis does not answer.

    In: a client of redis-py that answers in bytes, within a time that a call
    can bear; the key of this circuit; the state to fall back to.
    """

    def __init__(self, client: Any, key: str, local: LocalState) -> None:
        super().__init__("redis")
        self._client = client
        self._key = key
        self._local = local
        self._away_until = 0.0
        self._move = client.register_script(_MOVE)

    def _ask(self, ask: Callable[[], T], instead: Callable[[], T]) -> T:
        from redis import RedisError

        if time.monotonic() < self._away_until:
            return instead()
        try:
            # No spans of what the breaker itself asks.
            with suppress_instrumentation():
                return ask()
        except RedisError as error:
            # Not asked again at once: each call would wait for it.
            self._away_until = time.monotonic() + REDIS_PAUSE_S
            guard.say("breaker", "redis does not answer, circuit breakers are this process's own: %s", error)
            return instead()

    def load(self) -> Snapshot:
        def ask() -> Snapshot:
            name, changed_at, failures = self._client.hmget(self._key, "state", "changed_at", "failures")
            if name is None:
                return Snapshot(failures=int(failures or 0))
            return Snapshot(name.decode(), (changed_at or b"0").decode(), int(failures or 0))

        return self._ask(ask, self._local.load)

    def move(self, known: Snapshot, name: str, at: float) -> bool:
        def ask() -> bool:
            return bool(self._move(keys=[self._key], args=[known.changed_at, name, repr(at), REDIS_TTL_S]))

        return self._ask(ask, lambda: self._local.move(known, name, at))

    def count(self, known: Snapshot, counter: str) -> int:
        def ask() -> int:
            if self.load().changed_at != known.changed_at:
                return 0
            return int(self._client.hincrby(self._key, counter, 1))

        return self._ask(ask, lambda: self._local.count(known, counter))

    def forget_failures(self, known: Snapshot) -> None:
        # As it was when the call began: a healthy call asks redis once.
        if known.failures:
            self._ask(lambda: self._client.hset(self._key, "failures", 0), lambda: self._local.forget_failures(known))

    def _trial_key(self, known: Snapshot, trial: int) -> str:
        return f"{self._key}:trial:{known.changed_at}:{trial}"

    def take_trial(self, known: Snapshot, limit: int, lease: float) -> int | None:
        def ask() -> int | None:
            for trial in range(limit):
                if self._client.set(self._trial_key(known, trial), b"1", nx=True, px=max(1, int(lease * 1000))):
                    return trial
            return None

        return self._ask(ask, lambda: self._local.take_trial(known, limit, lease))

    def give_back_trial(self, known: Snapshot, trial: int) -> None:
        self._ask(
            lambda: self._client.delete(self._trial_key(known, trial)),
            lambda: self._local.give_back_trial(known, trial),
        )
