"""The one place where a broad ``except`` lives.

Telemetry must never raise into the app. Everything that runs on the app's own
threads, and touches objects or hooks we do not control, runs inside
:func:`guarded` or below :class:`Guard`. Under pytest the error is raised
again, so that our own mistakes fail a test instead of vanishing.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from otelflask._internal.locks import new_rlock

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("otelflask")

#: Seconds in which one diagnostic is said at most once.
REPEAT_INTERVAL_S = 60.0

_last_said: dict[str, float] = {}
_held_back: dict[str, int] = {}
# Re-entrant: a signal's handler may say something wherever it interrupts us.
_lock = new_rlock()


def strict() -> bool:
    """Whether errors of our own are raised again: only under pytest."""
    return "PYTEST_CURRENT_TEST" in os.environ and os.environ.get("OTELFLASK_GUARD") != "swallow"


def say(key: str, message: str, *args: object, level: int = logging.WARNING, exc_info: bool = False) -> None:
    """Log a diagnostic about ourselves, at most once a minute for each `key`.

    The ``otelflask`` logger is never exported as telemetry (see
    ``logs.handler``), so that a failing exporter cannot feed itself.
    """
    now = time.monotonic()
    with _lock:
        last = _last_said.get(key)
        if last is not None and now - last < REPEAT_INTERVAL_S:
            _held_back[key] = _held_back.get(key, 0) + 1
            return
        if len(_last_said) > 1000:
            _last_said.clear()
            _held_back.clear()
        _last_said[key] = now
        held_back = _held_back.pop(key, 0)
    if held_back:
        message = f"{message} ({held_back} more held back)"
    try:
        logger.log(level, message, *args, exc_info=exc_info)
    except Exception:
        # A filter or a handler of the app's: there is nobody left to tell.
        return


def failed(where: str) -> None:
    """Report the exception being handled; raise it again under pytest."""
    if strict():
        raise
    say(where, "telemetry error in %s; the app is not affected", where, exc_info=True)


def guarded(where: str, default: Any = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that its errors never reach the app.

    In: a name for the diagnostic and the value returned after an error.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except Exception:
                failed(where)
                return default  # type: ignore[no-any-return]

        return wrapper

    return decorate


def call_hook(name: str, hook: Callable[..., Any], *args: Any) -> Any:
    """Call a hook of the user's; whatever it raises is said once a minute and goes no further."""
    try:
        return hook(*args)
    except Exception:
        users_failed(name)
        return None


def users_failed(name: str) -> None:
    """Say that something of the user's raised the exception being handled; ours is raised again under pytest.

    In: what it is, in words.
    """
    if strict() and _is_ours(sys.exc_info()[2]):
        raise
    say(f"hook:{name}", "the %s raised; the app is not affected", name, exc_info=True)


def _is_ours(trace: TracebackType | None) -> bool:
    """Whether the innermost frame is of this package: nobody else's code has raised."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith("otelflask.")


def safe_text(value: object) -> str:
    """``str(value)`` for objects that may raise in ``__str__`` and ``__repr__``."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__module__}.{type(value).__qualname__} (unprintable)>"
