"""What is different where gevent has put greenlets in the place of threads."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def are_threads() -> bool:
    """Whether `threading` makes greenlets in this process."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def outside(function: Callable[..., T], *arguments: Any) -> T:
    """Call what waits for a disk or a lock of another process: in a thread of the system's where a greenlet that waits
    would hold up all others."""
    if not are_threads():
        return function(*arguments)
    import gevent

    result: T = gevent.get_hub().threadpool.apply(function, arguments)
    return result
