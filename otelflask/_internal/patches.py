"""Replace a function of another library, in a way that can be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def replace(owner: Any, name: str, wrapped: Callable[..., Any]) -> Callable[[], None]:
    """Replace a function of a class or module.

    Args:
        owner: The class or module.
        name: The function's name.
        wrapped: What takes its place.

    Returns:
        A function that undoes it. What somebody else has wrapped around it stays.
    """
    original = getattr(owner, name)
    setattr(owner, name, wrapped)

    def undo() -> None:
        if getattr(owner, name) is wrapped:
            setattr(owner, name, original)

    return undo


def owner_of(kind: type, name: str) -> type | None:
    """The class in which a class has a method: its own, or a base; None where there is none."""
    return next((base for base in kind.__mro__ if name in vars(base)), None)


def all_of(undo: Iterable[Callable[[], object]]) -> Callable[[], None]:
    """One function that calls all of these."""

    def undo_all() -> None:
        for each in undo:
            each()

    return undo_all
