"""How one setting is declared, and the error for a wrong value."""

from __future__ import annotations

import functools
from dataclasses import field
from typing import Any


class SettingError(ValueError):
    """A setting has a value that is not allowed. The message names the setting, the value and what is allowed."""


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
    """Declare a field of `Settings`.

    Args:
        env: Its environment variable.
        default: Its default.
        help: What it does.
        choices: The allowed values.
        minimum: The smallest allowed value.
        unit: Its unit.
        secret: Whether its value is masked where it is shown.
        per_app: Whether it may differ from app to app.
    """
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


#: A setting that may differ from app to app. The others belong to the process.
per_app = functools.partial(setting, per_app=True)
