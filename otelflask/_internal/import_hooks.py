"""Instruments a library when the app imports it: what an app does not use costs it nothing at start."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType

import wrapt

from otelflask._internal import guard

Cancel = Callable[[], None]


def is_importable(name: str) -> bool:
    """Whether there is a module of this name; a stand-in that a test has put in its place is none."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def when_imported(name: str, action: Callable[[], None]) -> Cancel:
    """Call `action` when the module of this name is imported, or now where it is already.

    What it raises is said, and does not reach the import. Out: what takes it back, as long as it was not called.
    """
    waiting = [action]

    def imported(module: ModuleType) -> None:
        while waiting:
            with guard.saying(f"library:{name}", "%s cannot be instrumented; the app is not affected", name):
                waiting.pop()()

    wrapt.register_post_import_hook(imported, name)
    return waiting.clear
