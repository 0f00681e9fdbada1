"""Metrics of connection pools. Names: semantic conventions for databases, in development."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import Pool

from otelflask._internal.compat.sqlalchemy import most_overflow

POOL_NAME = "db.client.connection.pool.name"


class PoolOwner(Protocol):
    """What owns a pool."""

    is_used: bool

    @property
    def pool_name(self) -> str:
        """The pool's name."""
        ...


class PoolMetrics:
    """Connections by state, their limit, and requests for a connection that timed out.

    Args:
        meter: Makes the instruments.
        pools: Returns all pools with their names.
    """

    def __init__(self, meter: Meter, pools: Callable[[], Iterable[tuple[str, Pool]]]) -> None:
        self._pools = pools
        meter.create_observable_up_down_counter(
            "db.client.connection.count",
            callbacks=[self._observe_connections],
            unit="{connection}",
            description="Connections of the pool by state.",
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.max",
            callbacks=[self._observe_limits],
            unit="{connection}",
            description="The maximum number of open connections allowed.",
        )
        self._timeouts = meter.create_counter(
            "db.client.connection.timeouts",
            unit="{timeout}",
            description="The number of requests for a connection that timed out.",
        )

    def _observe_connections(self, options: CallbackOptions) -> Iterable[Observation]:
        for name, pool in self._pools():
            if hasattr(pool, "checkedout") and hasattr(pool, "checkedin"):
                yield Observation(pool.checkedout(), {POOL_NAME: name, "db.client.connection.state": "used"})
                yield Observation(pool.checkedin(), {POOL_NAME: name, "db.client.connection.state": "idle"})

    def _observe_limits(self, options: CallbackOptions) -> Iterable[Observation]:
        for name, pool in self._pools():
            overflow = most_overflow(pool)
            if hasattr(pool, "size") and overflow is not None:
                yield Observation(pool.size() + overflow, {POOL_NAME: name})

    def observe(self, pool: Pool, engine: PoolOwner) -> None:
        """Count each time that a pool, or the next one of its engine, has no connection to give in time.

        SQLAlchemy has no event for it.

        Args:
            pool: The pool.
            engine: Knows the name of the pool, and gets the mark that it is used.
        """
        # Weak, so that a pool that nobody uses is freed at once, with its connections.
        reference = weakref.ref(pool)

        def connect() -> Any:
            live: Any = reference()
            engine.is_used = True
            try:
                return type(live).connect(live)
            except PoolTimeoutError:
                self._timeouts.add(1, {POOL_NAME: engine.pool_name})
                raise

        def recreate() -> Pool:
            live: Any = reference()
            made: Pool = type(live).recreate(live)
            self.observe(made, engine)
            return made

        pool.connect = connect  # type: ignore[method-assign]
        # `Engine.dispose` replaces the pool.
        pool.recreate = recreate  # type: ignore[method-assign]

    @staticmethod
    def leave(pool: Pool) -> None:
        """Undo `observe`."""
        pool.__dict__.pop("connect", None)
        pool.__dict__.pop("recreate", None)
