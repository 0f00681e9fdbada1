"""The one place where a broad ``except`` stands.

Telemetry never raises into the app. What runs on the app's own threads, and
touches objects or functions that are not ours, is called from here: by
`attempt`, `call_hook` and `tell_each`, or below `guarded` and `saying`. Under
pytest an error of our own is raised again, so that it fails a test instead of
vanishing.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, TypeVar

from otelflask._internal.locks import new_rlock

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=AbstractContextManager[Any])

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


def say(
    key: str, message: str, *args: object, level: int = logging.WARNING, exc_info: BaseException | None = None
) -> None:
    """Log a diagnostic about ourselves, at most once a minute for each `key`.

    The ``otelflask`` logger is never exported as telemetry (see
    ``instrumentation.logs.capture``), so that a failing exporter cannot feed itself.
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


def failed(where: str, error: BaseException) -> None:
    """Say that our own code raised; raise it again under pytest."""
    if strict():
        raise error
    say(where, "telemetry error in %s; the app is not affected", where, exc_info=error)


def users_failed(name: str, error: BaseException) -> None:
    """Say that something of the user's raised; an error of ours is raised again under pytest.

    In: what it is, in words.
    """
    if strict() and _is_ours(error):
        raise error
    say(f"hook:{name}", "the %s raised; the app is not affected", name, exc_info=error)


def attempt(function: Callable[..., R], *args: Any, instead: Callable[[Exception], R]) -> R:
    """Call a function that may raise anything. Out: what it returns, or what `instead` makes of its exception."""
    try:
        return function(*args)
    except Exception as error:
        return instead(error)


def call_hook(name: str, hook: Callable[..., Any], *args: Any) -> Any:
    """Call a hook of the user's; whatever it raises is said once a minute and goes no further."""
    try:
        return hook(*args)
    except Exception as error:
        users_failed(name, error)
        return None


def tell_each(where: str, tell: Iterable[Callable[[Any], object]], about: Any) -> None:
    """Call each of our functions with this, also where one before it has raised."""
    # Of one argument: each request comes here, and `*args` would cost more than the call.
    for function in tell:
        try:
            function(about)
        except Exception as error:
            failed(where, error)


def call_each(items: Iterable[Any], method: str, about: Any, failed: Callable[[Any, Exception], object]) -> None:
    """Call a method of each of these with one argument, also where that of one before has raised.

    In: also what is told of the one that raised, and of its exception.
    """
    for item in items:
        try:
            getattr(item, method)(about)
        except Exception as error:
            failed(item, error)


def entered(where: str, make: Callable[..., C], *args: Any) -> C | None:
    """Make a context manager and enter it. Out: it, to be given to `left`; None where that raised."""
    try:
        made = make(*args)
        made.__enter__()
        return made
    except Exception as error:
        failed(where, error)
        return None


def left(where: str, entered: AbstractContextManager[Any] | None) -> None:
    """Leave what `entered` has entered, as if its block had raised nothing."""
    if entered is not None:
        try:
            entered.__exit__(None, None, None)
        except Exception as error:
            failed(where, error)


def guarded(
    where: str, default: Any = None, instead: Callable[..., Any] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function of ours so that its errors never reach the app.

    In: a name for the diagnostic, and what is returned after an error: a value, or what `instead` makes of the
    function's arguments.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                failed(where, error)
                return default if instead is None else instead(*args, **kwargs)  # type: ignore[no-any-return]

        return wrapper

    return decorate


class saying:  # noqa: N801
    """Run a block: ``with saying(…):``. What it raises is said in these words, as by `say`, and goes no further."""

    __slots__ = ("_args", "_key", "_message")

    def __init__(self, key: str, message: str, *args: object) -> None:
        self._key = key
        self._message = message
        self._args = args

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        say(self._key, self._message, *self._args, exc_info=error)
        return True


def _is_ours(error: BaseException) -> bool:
    """Whether the innermost frame is of this package: nobody else's code has raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith("otelflask.")


def safe_text(value: object) -> str:
    """``str(value)`` for objects that may raise in ``__str__`` and ``__repr__``."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__module__}.{type(value).__qualname__} (unprintable)>"
