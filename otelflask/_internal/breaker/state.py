"""Where a circuit's state is kept: in this process, or in a redis that processes share."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from otelflask._internal import clock
from otelflask._internal.breaker.redis_client import SharedRedis
from otelflask._internal.locks import new_lock

#: The states, as metrics and records name them.
CLOSED, HALF_OPEN, OPEN = "closed", "half_open", "open"
#: Seconds after which redis forgets a circuit that nobody has changed.
REDIS_TTL_S = 7 * 86_400
#: Each script acts only in the period for which it is meant: the state is unchanged since it was read.
_PERIOD = "if (redis.call('HGET', KEYS[1], 'changed_at') or '0') ~= ARGV[1] then return 0 end\n"
_MOVE = (
    _PERIOD
    + """
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'changed_at', ARGV[3], 'failures', 0, 'successes', 0)
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""
)
_COUNT = (
    _PERIOD
    + """
redis.call('HINCRBY', KEYS[1], ARGV[2], 1)
redis.call('EXPIRE', KEYS[1], ARGV[3])
return tonumber(redis.call('HGET', KEYS[1], ARGV[2]))
"""
)
_FORGET = _PERIOD + "return redis.call('HSET', KEYS[1], 'failures', 0)"
_GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a half-open period. The token tells it from a later trial in the same slot."""

    slot: int
    token: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A circuit at one moment. `changed_at` (epoch seconds as text) identifies the period."""

    name: str = CLOSED
    changed_at: str = "0"
    failures: int = 0


class State(ABC):
    """A circuit's state. Reads are atomic, and no lock is held between a read and a change."""

    @abstractmethod
    def load(self) -> Snapshot:
        """Read the state."""

    @abstractmethod
    def move(self, known: Snapshot, name: str, at: float) -> bool:
        """Change the state, unless another caller has changed it since `known`.

        Args:
            known: The state as it was read.
            name: The new state.
            at: The time in epoch seconds.

        Returns:
            Whether the state was changed.
        """

    @abstractmethod
    def count(self, known: Snapshot, counter: str) -> int:
        """Count one of ``failures`` or ``successes`` in this period.

        Returns:
            The new count; 0 where the period is over.
        """

    @abstractmethod
    def forget_failures(self, known: Snapshot) -> None:
        """Reset the failures in a row: a call that began in this period succeeded."""

    @abstractmethod
    def take_trial(self, known: Snapshot, limit: int, lease: float) -> Trial | None:
        """Take one of `limit` trials of a half-open period.

        Args:
            known: The half-open period.
            limit: The number of trials.
            lease: Seconds after which an unfinished trial is free again.

        Returns:
            The trial; None where all are taken.
        """

    @abstractmethod
    def give_back_trial(self, known: Snapshot, trial: Trial) -> None:
        """Return a trial that neither succeeded nor failed."""


class LocalState(State):
    """The state in this process."""

    def __init__(self, now: Callable[[], float] = clock.epoch_seconds) -> None:
        self._now = now
        self._snapshot = Snapshot()
        self._successes = 0
        self._trials: dict[int, tuple[str, float]] = {}
        self._lock = new_lock()

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

    def take_trial(self, known: Snapshot, limit: int, lease: float) -> Trial | None:
        with self._lock:
            now = self._now()
            if self._snapshot.changed_at != known.changed_at:
                return None
            for slot in range(limit):
                taken = self._trials.get(slot)
                if taken is None or taken[1] + lease <= now:
                    token = secrets.token_hex(8)
                    self._trials[slot] = (token, now)
                    return Trial(slot, token)
            return None

    def give_back_trial(self, known: Snapshot, trial: Trial) -> None:
        with self._lock:
            if self._trials.get(trial.slot, ("", 0.0))[0] == trial.token:
                del self._trials[trial.slot]


class RedisState(State):
    """The state in redis, shared by all who use it. While redis does not answer, this process's own.

    Args:
        redis: The client.
        key: The key of this circuit.
        local: The state to fall back to.
    """

    def __init__(self, redis: SharedRedis, key: str, local: LocalState) -> None:
        self._redis = redis
        self._key = key
        self._local = local
        self._move = redis.script(_MOVE)
        self._count = redis.script(_COUNT)
        self._forget = redis.script(_FORGET)
        self._give_back = redis.script(_GIVE_BACK)

    def load(self) -> Snapshot:
        def ask(client: Any) -> Snapshot:
            name, changed_at, failures = client.hmget(self._key, "state", "changed_at", "failures")
            if name is None:
                return Snapshot(failures=int(failures or 0))
            return Snapshot(name.decode().replace("-", "_"), (changed_at or b"0").decode(), int(failures or 0))

        return self._redis.ask(ask, self._local.load)

    def move(self, known: Snapshot, name: str, at: float) -> bool:
        # The name as earlier versions wrote it: two versions of an app share it during a deployment.
        arguments = [known.changed_at, name.replace("_", "-"), repr(at), REDIS_TTL_S]
        return self._redis.ask(
            lambda client: bool(self._move(keys=[self._key], args=arguments)), lambda: self._local.move(known, name, at)
        )

    def count(self, known: Snapshot, counter: str) -> int:
        arguments = [known.changed_at, counter, REDIS_TTL_S]
        return self._redis.ask(
            lambda client: int(self._count(keys=[self._key], args=arguments)), lambda: self._local.count(known, counter)
        )

    def forget_failures(self, known: Snapshot) -> None:
        # The failures at the start of the call: so a healthy call asks redis once.
        if known.failures:
            self._redis.ask(
                lambda client: self._forget(keys=[self._key], args=[known.changed_at]),
                lambda: self._local.forget_failures(known),
            )

    def _trial_key(self, known: Snapshot, slot: int) -> str:
        return f"{self._key}:trial:{known.changed_at}:{slot}"

    def take_trial(self, known: Snapshot, limit: int, lease: float) -> Trial | None:
        def ask(client: Any) -> Trial | None:
            token = secrets.token_hex(8)
            for slot in range(limit):
                if client.set(self._trial_key(known, slot), token, nx=True, px=max(1, int(lease * 1000))):
                    return Trial(slot, token)
            return None

        return self._redis.ask(ask, lambda: self._local.take_trial(known, limit, lease))

    def give_back_trial(self, known: Snapshot, trial: Trial) -> None:
        self._redis.ask(
            lambda client: self._give_back(keys=[self._trial_key(known, trial.slot)], args=[trial.token]),
            lambda: self._local.give_back_trial(known, trial),
        )
