"""Something that each app has, and the process too: for code that runs within an app's context or without one."""

from __future__ import annotations

from typing import Generic, TypeVar

from flask import Flask, current_app, has_app_context

T = TypeVar("T")


class AppOrProcess(Generic[T]):
    """The current app's, else the process's. In: where an app has its own, in ``app.extensions``."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._of_process: T | None = None

    def give(self, app: Flask, item: T) -> None:
        """Let an app have it."""
        app.extensions[self._key] = item

    def use(self, item: T) -> None:
        """Let the process have it from now on, unless it has one."""
        if self._of_process is None:
            self._of_process = item

    def withdraw(self, item: T) -> None:
        """This one has ended."""
        if self._of_process is item:
            self._of_process = None

    def current(self) -> T | None:
        """The current app's, else the process's; None where neither has one."""
        found: T | None = current_app.extensions.get(self._key) if has_app_context() else None
        return found or self._of_process
