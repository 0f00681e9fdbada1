"""Begin and end the instrumentation of threads, executors and greenlets, once in a process."""

from __future__ import annotations

from collections.abc import Callable

from otelflask._internal.import_hooks import when_imported
from otelflask._internal.instrumentation.threads import threads

#: Functions that undo it, the last one first.
_undo: list[Callable[[], object]] = []


def instrument() -> None:
    """Carry the current context into new threads, work of executors, and greenlets. A second call changes nothing."""
    if _undo:
        return
    _undo.append(threads.carry_into_threads())
    _undo.append(threads.carry_into_executors())
    _undo.append(when_imported("gevent", _carry_into_greenlets))


def _carry_into_greenlets() -> None:
    # Here, because it imports gevent.
    from otelflask._internal.instrumentation.threads import greenlets

    _undo.append(greenlets.carry_into_greenlets())


def uninstrument() -> None:
    """Undo `instrument`, for tests."""
    while _undo:
        _undo.pop()()
