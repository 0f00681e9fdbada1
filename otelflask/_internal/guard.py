"""The only module that suppresses arbitrary exceptions, so that telemetry never raises into the app.

Code that runs in the app's threads and calls code of the app or of other libraries uses `attempt`,
`call_hook`, `notify_each`, `call_each`, `enter` and `leave`, a function decorated with `guarded`,
or a ``with log_errors(…)`` block. Under pytest, `own_code_failed` and `user_code_failed` raise
errors of otelflask again, so that a test fails. `log_errors` never does.

What a signal handler raises while such code runs is for the app, and goes on to it.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, TypeVar

from otelflask._internal import signal_handlers
from otelflask._internal.locks import new_rlock

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=AbstractContextManager[Any])

logger = logging.getLogger("otelflask")

#: The beginning of each diagnostic.
PREFIX = "otelflask: "
#: The shortest time, in seconds, between two log lines with the same key.
LOG_INTERVAL_S = 60.0
#: At this number of keys all are forgotten, to bound the memory.
MAX_KEYS = 1_000

#: Python's handler where the app has none.
_LAST_RESORT = logging.lastResort

_last_logged: dict[str, float] = {}
_suppressed: dict[str, int] = {}
# Re-entrant: a signal handler may interrupt this code and log something itself.
_lock = new_rlock()


def raises_own_errors() -> bool:
    """Whether errors of otelflask are raised again: in a test under pytest, unless OTELFLASK_GUARD is ``swallow``."""
    return "PYTEST_CURRENT_TEST" in os.environ and os.environ.get("OTELFLASK_GUARD") != "swallow"


def log(
    key: str, message: str, *args: object, level: int = logging.WARNING, exc_info: BaseException | None = None
) -> None:
    """Log a diagnostic of otelflask itself, at most once a minute per `key`.

    Records of the ``otelflask`` logger are never exported (see ``instrumentation.logs.capture``), so a
    failing exporter cannot cause more records to export.

    Args:
        key: Names the diagnostic. Repetitions of one key are counted and not logged.
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
        if len(_last_logged) >= MAX_KEYS:
            _last_logged.clear()
            _suppressed.clear()
        _last_logged[key] = now
        suppressed = _suppressed.pop(key, 0)
    if suppressed:
        message = f"{message} ({suppressed} more suppressed)"
    if not logger.hasHandlers() and logging.lastResort is _LAST_RESORT:
        # Python writes the bare text to stderr.
        message = f"{time.strftime('%H:%M:%S')} [{os.getpid()}] {logging.getLevelName(level)}: {message}"
    # Many formats have no logger's name, such as the one in Flask's documentation.
    message = PREFIX + message
    try:
        logger.log(level, message, *args, exc_info=exc_info)
    except Exception as error:
        # A filter or a handler of the app raised. Nothing is left that could report it.
        _let_through(error)


def _let_through(error: BaseException) -> None:
    if signal_handlers.has_raised(error):
        raise error


def own_code_failed(activity: str, error: BaseException) -> None:
    """Log an error of otelflask's own code. Under pytest, raise it again.

    Args:
        activity: What the code was doing: words that fit after "while", such as "closing a request".
        error: The error.
    """
    _let_through(error)
    if raises_own_errors():
        raise error
    log(activity, "telemetry error while %s; the app is not affected", activity, exc_info=error)


def user_code_failed(name: str, error: BaseException) -> None:
    """Log an error of the user's code. Under pytest, raise it again if otelflask's own code raised it.

    Args:
        name: What the user's code is: words that fit after "the", such as "hook `user`".
        error: The error.
    """
    _let_through(error)
    if raises_own_errors() and _is_ours(error):
        raise error
    log(f"hook:{name}", "the %s raised; the app is not affected", name, exc_info=error)


def attempt(function: Callable[..., R], *args: Any, on_error: Callable[[Exception], R]) -> R:
    """Call a function that may raise anything.

    Args:
        function: The function.
        *args: Its arguments.
        on_error: Called with the exception. Its result is returned instead.

    Returns:
        The function's result, or that of `on_error`.
    """
    try:
        return function(*args)
    except Exception as error:
        _let_through(error)
        return on_error(error)


def call_hook(name: str, hook: Callable[..., Any], *args: Any) -> Any:
    """Call a function that may run the user's code. An exception is logged, at most once a minute per `name`.

    Args:
        name: What the function is: words that fit after "the".
        hook: The function.
        *args: Its arguments.

    Returns:
        The function's result; None where it raised.
    """
    try:
        return hook(*args)
    except Exception as error:
        user_code_failed(name, error)
        return None


def notify_each(activity: str, listeners: Iterable[Callable[[Any], object]], argument: Any) -> None:
    """Call each of our functions with one argument. An error of one does not stop the others.

    Args:
        activity: What the functions do: words that fit after "while".
        listeners: The functions.
        argument: Their argument.
    """
    # Exactly one argument, because this runs several times per request, and unpacking `*args` costs as much as the call
    # itself.
    for function in listeners:
        try:
            function(argument)
        except Exception as error:
            own_code_failed(activity, error)


def call_each(items: Iterable[Any], method: str, argument: Any, on_error: Callable[[Any, Exception], object]) -> None:
    """Call a method of each item with one argument. An error of one does not stop the others.

    Args:
        items: The objects.
        method: The method's name.
        argument: Its argument.
        on_error: Called with an item and the exception that it raised.
    """
    for item in items:
        try:
            getattr(item, method)(argument)
        except Exception as error:
            _let_through(error)
            on_error(item, error)


def enter(activity: str, make: Callable[..., C], *args: Any) -> C | None:
    """Make a context manager and enter it.

    Returns:
        The context manager, to be given to `leave`; None where it raised.
    """
    try:
        made = make(*args)
        made.__enter__()
        return made
    except Exception as error:
        own_code_failed(activity, error)
        return None


def leave(activity: str, manager: AbstractContextManager[Any] | None) -> None:
    """Exit a context manager that `enter` returned, as if its block had raised nothing."""
    if manager is not None:
        try:
            manager.__exit__(None, None, None)
        except Exception as error:
            own_code_failed(activity, error)


def guarded(
    activity: str, default: Any = None, fallback: Callable[..., Any] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function of ours, so that its errors never reach the app.

    Args:
        activity: What the function does: words that fit after "while".
        default: The result after an error.
        fallback: Makes the result after an error from the function's arguments. It replaces `default`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                # Passing keywords on copies their dict, also an empty one.
                return function(*args, **kwargs) if kwargs else function(*args)  # type: ignore[call-arg]
            except Exception as error:
                own_code_failed(activity, error)
                return default if fallback is None else fallback(*args, **kwargs)  # type: ignore[no-any-return]

        return wrapper

    return decorate


class log_errors:  # noqa: N801
    """Log what a block raises, and suppress it: ``with log_errors(key, message, *args):``.

    The arguments are those of `log`. Only an `Exception` is suppressed.
    """

    __slots__ = ("_args", "_key", "_message")

    def __init__(self, key: str, message: str, *args: object) -> None:
        self._key = key
        self._message = message
        self._args = args

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception) or signal_handlers.has_raised(error):
            return False
        log(self._key, self._message, *self._args, exc_info=error)
        return True


def _is_ours(error: BaseException) -> bool:
    """Whether the innermost Python frame belongs to otelflask.

    Also True where a hook does not accept the arguments that it is called with.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith("otelflask.")


def safe_text(value: object) -> str:
    """``str(value)``, also for objects that raise in ``__str__`` and ``__repr__``."""
    try:
        return str(value)
    except Exception as error:
        _let_through(error)
        return f"<{type(value).__module__}.{type(value).__qualname__} (unprintable)>"
