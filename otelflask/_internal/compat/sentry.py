"""sentry-sdk: scopes that are made on first use, and the events that a transport has not sent.

Sources: ``sentry_sdk.scope.Scope``, ``sentry_sdk.transport``, ``sentry_sdk.worker``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from typing import Any

from sentry_sdk import scope as sentry_scope
from sentry_sdk.scope import Scope, ScopeType

_isolation: ContextVar[Scope | None] = sentry_scope._isolation_scope
_current: ContextVar[Scope | None] = sentry_scope._current_scope
#: What `enter_scopes` has replaced.
Tokens = tuple[Token[Scope | None], Token[Scope | None]]


class LazyScope(Scope):
    """A fork of a scope that is made when something reads it: sentry-sdk's forks copy a dozen containers.

    A scope has slots, and one without a value asks `__getattr__`.

    Args:
        kind: Isolation scope, or current scope.
        outer: What is forked; None for a new scope.
        on_use: Called when the fork is made.
    """

    __slots__ = ("_kind", "_on_use", "_outer")

    # The base's `__init__` makes the containers.
    def __init__(  # pylint: disable=super-init-not-called
        self, kind: ScopeType, outer: Scope | None, on_use: Callable[[], object]
    ) -> None:
        self._kind = kind
        self._outer = outer
        self._on_use: Callable[[], object] | None = on_use

    def __getattr__(self, name: str) -> Any:
        on_use = self._on_use
        if on_use is None:
            raise AttributeError(name)
        made = self._outer.fork() if self._outer is not None else Scope(ty=self._kind)
        for slot in Scope.__slots__:
            # What the app has written before it read anything stays.
            with contextlib.suppress(AttributeError):
                if not _has(self, slot):
                    setattr(self, slot, getattr(made, slot))
        # Not earlier: another thread of the app that reads meanwhile must find everything.
        self._on_use = None
        on_use()
        return object.__getattribute__(self, name)

    def __copy__(self) -> Scope:
        copied = super().__copy__()
        if isinstance(copied, LazyScope):
            copied._on_use = None
        return copied


def _has(scope: Scope, slot: str) -> bool:
    try:
        object.__getattribute__(scope, slot)
    except AttributeError:
        return False
    return True


def enter_scopes(on_use: Callable[[], object]) -> tuple[tuple[Scope, Scope], Tokens]:
    """Make lazy forks of the isolation scope and the current scope the current ones.

    Args:
        on_use: Called when one of them is used.

    Returns:
        The scopes, and the tokens for `leave_scopes`.
    """
    isolation = LazyScope(ScopeType.ISOLATION, _isolation.get(), on_use)
    current = LazyScope(ScopeType.CURRENT, _current.get(), on_use)
    return (isolation, current), use_scopes(isolation, current)


def fork_scopes() -> tuple[Scope | None, Scope | None]:
    """Forks of the current isolation scope and the current scope; None for one that is not set."""
    isolation, current = _isolation.get(), _current.get()
    return (
        isolation.fork() if isolation is not None else None,
        current.fork() if current is not None else None,
    )


def use_scopes(isolation: Scope | None, current: Scope | None) -> Tokens:
    """Make scopes the current ones.

    Returns:
        The tokens for `leave_scopes`.
    """
    return _isolation.set(isolation), _current.set(current)


def leave_scopes(tokens: Tokens) -> None:
    """Undo `enter_scopes` or `use_scopes`."""
    of_isolation, of_current = tokens
    _current.reset(of_current)
    _isolation.reset(of_isolation)


def fingerprint_of(scope: Scope | None) -> Sequence[str]:
    """The fingerprint that an app has set on a scope; empty where there is none. A lazy scope is not made for it."""
    while isinstance(scope, LazyScope) and scope._on_use is not None and not _has(scope, "_fingerprint"):
        scope = scope._outer
    return (scope._fingerprint or ()) if scope is not None else ()


def unsent_events(transport: Any) -> int:
    """The number of events that a transport has not sent, as far as it shows."""
    queue = getattr(getattr(transport, "_worker", None), "_queue", None)
    return int(getattr(queue, "unfinished_tasks", 0))
