"""Call a function when a module is imported. A library that an app does not use costs nothing at start."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType

import wrapt

from otelflask._internal import guard

Cancel = Callable[[], None]


def is_importable(name: str) -> bool:
    """Whether a module of this name exists. A test's stand-in in `sys.modules` does not count."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def when_imported(name: str, action: Callable[[], None]) -> Cancel:
    """Call `action` when a module is imported, or at once where it already is.

    An exception in `action` is logged, and the import goes on.

    Returns:
        A function that cancels the call, as long as it has not happened.
    """
    waiting = [action]

    def imported(module: ModuleType) -> None:
        while waiting:
            with guard.log_errors(f"library:{name}", "%s cannot be instrumented; the app is not affected", name):
                waiting.pop()()

    wrapt.register_post_import_hook(imported, name)
    return waiting.clear
