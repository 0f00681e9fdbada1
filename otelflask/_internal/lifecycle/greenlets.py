"""Differences where gevent has replaced threads by greenlets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def are_threads() -> bool:
    """Whether `threading` makes greenlets in this process."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def spawn(function: Callable[[], object]) -> Any:
    """Call a function in another greenlet, which is returned."""
    import gevent

    return gevent.spawn(function)


def current() -> Any:
    """The greenlet that runs; None where threads are threads."""
    if not are_threads():
        return None
    import gevent

    return gevent.getcurrent()


def end(greenlet: Any) -> None:
    """End a greenlet when it would go on. This one does not wait for it."""
    if greenlet is not None:
        # `threading` says nothing about this exception.
        greenlet.kill(SystemExit, block=False)


def run_in_threadpool(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that waits for a disk or for another process's lock.

    Under gevent it runs in a real thread, because a waiting greenlet would block all others.
    """
    if not are_threads():
        return function(*arguments)
    import gevent

    result: T = gevent.get_hub().threadpool.apply(function, arguments)
    return result
