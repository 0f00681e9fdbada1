"""Locks that are free in a forked child. The parent's thread that held one does not exist there."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from otelflask._internal.compat.python import free_after_fork

_locks: weakref.WeakSet[Any] = weakref.WeakSet()


def new_lock() -> threading.Lock:
    """Make a lock like `threading.Lock`."""
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def new_rlock() -> Any:
    """Make a re-entrant lock like `threading.RLock`."""
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def free() -> None:
    """Free all locks in a forked child."""
    for lock in list(_locks):
        free_after_fork(lock)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=free)
