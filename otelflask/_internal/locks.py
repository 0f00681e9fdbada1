"""Locks that a forked child finds free: the thread that held one in the parent is not there to let go of it."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from otelflask._internal.compat.python import free_after_fork

_locks: weakref.WeakSet[Any] = weakref.WeakSet()


def new_lock() -> threading.Lock:
    """As `threading.Lock`."""
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def new_rlock() -> Any:
    """As `threading.RLock`: whoever holds it can take it again."""
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def _free() -> None:
    for lock in list(_locks):
        free_after_fork(lock)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free)
