"""Forks: call back in every child. A process that forks in C has no threads of ours.

A thread that holds the interpreter's lock while another one forks in C leaves the child with a lock
that nobody frees. Python's own fork holds that lock itself.
"""

from __future__ import annotations

import os
import random
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

from otelflask._internal import guard, locks, randomness


class Forkable(Protocol):
    """Anything that must be reset in a forked child."""

    def after_fork(self) -> None: ...


#: The process that the items belong to.
_pid = os.getpid()
_noticing = threading.Lock()
#: The process that may start no threads, a pipe with one byte for one of its children, and which of them may read it.
_without_threads: int | None = None
_estate: int | None = None
_may_inherit: Callable[[], bool] = bool
#: Whether this process sends what its parent recorded before the fork, and does not send itself.
is_heir = False
_forkables: list[weakref.ref[Forkable]] = []


def on_fork(item: Forkable) -> None:
    """Call ``item.after_fork()`` in every forked child, in the order of registration. The item is held weakly."""
    _forkables[:] = [reference for reference in _forkables if (known := reference()) is not None and known is not item]
    _forkables.append(weakref.ref(item))


def start_no_threads(may_inherit: Callable[[], bool]) -> None:
    """Start no threads in this process from now on. One of its children sends what it records until then.

    Args:
        may_inherit: Whether a child, which asks it, lives as long as this process.
    """
    global _without_threads, _estate, _may_inherit
    _without_threads, _may_inherit = os.getpid(), may_inherit
    _estate, end = os.pipe()
    os.write(end, b"1")
    os.close(end)


def may_start_threads() -> bool:
    """Whether this process may start threads."""
    return _without_threads != os.getpid()


def _inherit() -> bool:
    global _estate
    if _estate is None or not _may_inherit():
        return False
    # Who reads the byte. A child that takes the place of another finds none.
    pipe, _estate = _estate, None
    try:
        return bool(os.read(pipe, 1))
    finally:
        os.close(pipe)


def _after_fork() -> None:
    global _pid, is_heir
    randomness.seed()
    is_heir = guard.attempt(_inherit, on_error=lambda error: False)
    for reference in _forkables:
        item = reference()
        if item is not None:
            reset(item)
    _pid = os.getpid()


def reset(item: Forkable) -> None:
    """Reset one item in a forked child. What it raises is logged."""
    with guard.log_errors("fork", "telemetry cannot be reset after a fork"):
        item.after_fork()


def notice() -> None:
    """Do in a process that was forked without Python's knowledge what it would have done there."""
    if os.getpid() != _pid:
        # What another thread records meanwhile would be reset too.
        with _noticing:
            if os.getpid() != _pid:
                locks.free()
                random.seed()
                _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
