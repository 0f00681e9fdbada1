"""An object that an app may have for itself and the process has for everybody else.

Code that runs within an app's context gets the app's object, and other code gets the process's.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from flask import Flask, current_app, has_app_context

T = TypeVar("T")


class AppOrProcess(Generic[T]):
    """A lookup of the current app's object, else the process's.

    Args:
        key: Where an app keeps its object in ``app.extensions``.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._of_process: T | None = None

    def give(self, app: Flask, item: T) -> None:
        """Set an app's object."""
        app.extensions[self._key] = item

    def use(self, item: T) -> None:
        """Set the process's object, unless it has one."""
        if self._of_process is None:
            self._of_process = item

    def withdraw(self, item: T) -> None:
        """Remove this object from the process."""
        if self._of_process is item:
            self._of_process = None

    def current(self) -> T | None:
        """The current app's object, else the process's, else None."""
        found: T | None = current_app.extensions.get(self._key) if has_app_context() else None
        return found or self._of_process
