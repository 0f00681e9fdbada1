"""SQLAlchemy: private parts of engines, pools and execution contexts. SQLAlchemy is not imported.

Sources: ``sqlalchemy.engine``, ``sqlalchemy.pool``, ``sqlalchemy.orm.context.ORMCompileState``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_when_made: list[Callable[[Any], None]] = []


def when_made(dialect_class: Any, action: Callable[[Any], None]) -> Callable[[], None]:
    """Call `action` with each engine that `create_engine` makes from now on. SQLAlchemy has no event for it.

    Args:
        dialect_class: SQLAlchemy's base class of dialects.
        action: Must not raise.

    Returns:
        A function that ends this.
    """
    if not hasattr(dialect_class, "_otelflask"):
        original = dialect_class.engine_created.__func__

        @functools.wraps(original)
        def engine_created(cls: Any, engine: Any) -> None:
            original(cls, engine)
            for each in _when_made:
                each(engine)

        dialect_class.engine_created = classmethod(engine_created)
        dialect_class._otelflask = True
    _when_made.append(action)
    return functools.partial(_when_made.remove, action)


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


def resets_by_commit(pool: Any) -> bool:
    """Whether a pool ends what is left of a transaction by COMMIT when a connection returns."""
    return getattr(pool._reset_on_return, "name", "") == "reset_commit"


def escapes_by_backslash(dialect: Any) -> bool:
    """Whether a backslash in a string is an escape, as far as a dialect knows. It asks PostgreSQL and MySQL."""
    return bool(getattr(dialect, "_backslash_escapes", False))


def quotes_names_by_double_quotes(dialect: Any) -> bool:
    """Whether a dialect's MySQL reads ``"…"`` as a name. It asks the server."""
    return bool(getattr(dialect, "_server_ansiquotes", False))


def relationship_of(execution: Any) -> Any:
    """The path of the relationship that the ORM loads by a statement, such as that of a lazy load; None for none.

    Args:
        execution: SQLAlchemy's execution context, or None.
    """
    compiled = getattr(execution, "compiled", None)
    path = getattr(getattr(compiled, "compile_state", None), "current_path", None)
    return path if path is not None and not path.is_root else None
