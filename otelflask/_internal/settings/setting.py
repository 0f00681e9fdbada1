"""How one setting is declared, and what a value is that is not allowed."""

from __future__ import annotations

import functools
from dataclasses import field
from typing import Any


class SettingError(ValueError):
    """A setting has a value that is not allowed; the message names setting, value and what is allowed."""


SettingError.__module__ = "otelflask"


def setting(
    env: str,
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    unit: str = "",
    secret: bool = False,
    per_app: bool = False,
) -> Any:
    """A field of `Settings`: its variable, its default, what it does, and what is allowed."""
    metadata = {
        "env": env,
        "help": help,
        "choices": choices,
        "minimum": minimum,
        "unit": unit,
        "secret": secret,
        "per_app": per_app,
    }
    return field(default=default, repr=not secret, metadata=metadata)


#: One that may differ from app to app; the others are of what a process has once.
per_app = functools.partial(setting, per_app=True)
