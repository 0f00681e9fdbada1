"""SQLAlchemy: private parts of engines, pools and execution contexts. SQLAlchemy is not imported.

Sources: ``sqlalchemy.engine.base.OptionEngine``, ``sqlalchemy.pool.QueuePool``, ``sqlalchemy.pool.Pool``.
"""

from __future__ import annotations

from typing import Any


def engine_below(engine: Any) -> Any:
    """The engine that owns the pool and the events: ``Engine.execution_options()`` makes engines of engines."""
    while hasattr(engine, "_proxied"):
        engine = engine._proxied
    return engine


def most_overflow(pool: Any) -> int | None:
    """The number of connections that a pool may open beyond its size; None for no limit and for other pools."""
    overflow = getattr(pool, "_max_overflow", None)
    return overflow if isinstance(overflow, int) and overflow >= 0 else None


def is_made_by_url(pool: Any) -> bool:
    """Whether a pool connects by the engine's URL, and not by a function of the app."""
    return getattr(pool._creator, "__module__", "") == "sqlalchemy.engine.create"
