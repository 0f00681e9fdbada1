"""The one place where a broad ``except`` stands: telemetry never raises into the app.

Code that runs on the app's threads and touches foreign objects goes through `attempt`,
`call_hook` or `notify_each`, or runs below `guarded` or `log_errors`. Under pytest an error of
our own is raised again, so that it fails a test.
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

#: The shortest time, in seconds, between two logs of the same diagnostic.
LOG_INTERVAL_S = 60.0

_last_logged: dict[str, float] = {}
_suppressed: dict[str, int] = {}
# Re-entrant: a signal handler may interrupt this code and log something itself.
_lock = new_rlock()


def strict() -> bool:
    """Whether errors of our own are raised again: only under pytest."""
    return "PYTEST_CURRENT_TEST" in os.environ and os.environ.get("OTELFLASK_GUARD") != "swallow"


def log(
    key: str, message: str, *args: object, level: int = logging.WARNING, exc_info: BaseException | None = None
) -> None:
    """Log a diagnostic of otelflask itself, at most once a minute per `key`.

    The ``otelflask`` logger is never exported as telemetry (see ``instrumentation.logs.capture``), so
    a failing exporter cannot feed itself.

    Args:
        key: Names the diagnostic; repetitions of one key are counted and not logged.
        message: The text, with %-placeholders.
        *args: Values for the placeholders.
        level: A level of `logging`.
        exc_info: The exception to show.
    """
    now = time.monotonic()
    with _lock:
        last = _last_logged.get(key)
        if last is not None and now - last < LOG_INTERVAL_S:
            _suppressed[key] = _suppressed.get(key, 0) + 1
            return
        if len(_last_logged) > 1000:
            _last_logged.clear()
            _suppressed.clear()
        _last_logged[key] = now
        suppressed = _suppressed.pop(key, 0)
    if suppressed:
        message = f"{message} ({suppressed} more suppressed)"
    try:
        logger.log(level, message, *args, exc_info=exc_info)
    except Exception:
        # A filter or a handler of the app raised. Nothing is left that could report it.
        return


def failed(where: str, error: BaseException) -> None:
    """Log an error of our own code. Raise it again under pytest.

    Args:
        where: What the code was doing, in words.
        error: The error.
    """
    if strict():
        raise error
    log(where, "telemetry error in %s; the app is not affected", where, exc_info=error)


def user_code_failed(name: str, error: BaseException) -> None:
    """Log an error of the user's code. Raise it again under pytest if it is our own after all.

    Args:
        name: What the user's code is, in words.
        error: The error.
    """
    if strict() and _is_ours(error):
        raise error
    log(f"hook:{name}", "the %s raised; the app is not affected", name, exc_info=error)


def attempt(function: Callable[..., R], *args: Any, instead: Callable[[Exception], R]) -> R:
    """Call a function that may raise anything.

    Returns:
        The function's result, or what `instead` makes of its exception.
    """
    try:
        return function(*args)
    except Exception as error:
        return instead(error)


def call_hook(name: str, hook: Callable[..., Any], *args: Any) -> Any:
    """Call a hook of the user. An exception is logged once a minute, and the result is None."""
    try:
        return hook(*args)
    except Exception as error:
        user_code_failed(name, error)
        return None


def notify_each(where: str, listeners: Iterable[Callable[[Any], object]], argument: Any) -> None:
    """Call each of our functions with one argument. An error of one does not stop the others."""
    # One positional argument only: each request comes here, and `*args` would cost more than the call.
    for function in listeners:
        try:
            function(argument)
        except Exception as error:
            failed(where, error)


def call_each(items: Iterable[Any], method: str, argument: Any, failed: Callable[[Any, Exception], object]) -> None:
    """Call a method of each item with one argument. An error of one does not stop the others.

    Args:
        items: The objects.
        method: The method's name.
        argument: Its argument.
        failed: Called with an item and the exception that it raised.
    """
    for item in items:
        try:
            getattr(item, method)(argument)
        except Exception as error:
            failed(item, error)


def enter(where: str, make: Callable[..., C], *args: Any) -> C | None:
    """Make a context manager and enter it.

    Returns:
        The context manager, to be given to `leave`; None where it raised.
    """
    try:
        made = make(*args)
        made.__enter__()
        return made
    except Exception as error:
        failed(where, error)
        return None


def leave(where: str, manager: AbstractContextManager[Any] | None) -> None:
    """Exit a context manager that `enter` returned, as if its block had raised nothing."""
    if manager is not None:
        try:
            manager.__exit__(None, None, None)
        except Exception as error:
            failed(where, error)


def guarded(
    where: str, default: Any = None, instead: Callable[..., Any] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function of ours, so that its errors never reach the app.

    Args:
        where: What the function does, in words, for the diagnostic.
        default: The result after an error.
        instead: Makes the result after an error from the function's arguments; it replaces `default`.
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


class log_errors:  # noqa: N801
    """Log what a block raises, and suppress it: ``with log_errors(key, message, …):``.

    The arguments are those of `log`.
    """

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
        log(self._key, self._message, *self._args, exc_info=error)
        return True


def _is_ours(error: BaseException) -> bool:
    """Whether the innermost frame belongs to this package, so that no other code raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith("otelflask.")


def safe_text(value: object) -> str:
    """``str(value)``, also for objects that raise in ``__str__`` and ``__repr__``."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__module__}.{type(value).__qualname__} (unprintable)>"
