"""SQLAlchemy: what engines, pools and execution contexts keep for themselves. Nothing of it is imported.

Sources: ``sqlalchemy.engine.base.OptionEngine``, ``sqlalchemy.pool.QueuePool``, ``sqlalchemy.pool.Pool``.
"""

from __future__ import annotations

from typing import Any


def engine_below(engine: Any) -> Any:
    """The engine whose pool and events this one shares: ``Engine.execution_options()`` makes engines of engines."""
    while hasattr(engine, "_proxied"):
        engine = engine._proxied
    return engine


def most_overflow(pool: Any) -> int | None:
    """How many connections a pool opens beyond its size; None where it has no limit, or is of another kind."""
    overflow = getattr(pool, "_max_overflow", None)
    return overflow if isinstance(overflow, int) and overflow >= 0 else None


def is_made_by_url(pool: Any) -> bool:
    """Whether an engine's pool connects by the engine's URL, and not by a function of the app's."""
    return getattr(pool._creator, "__module__", "") == "sqlalchemy.engine.create"
