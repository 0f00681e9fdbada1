"""The names of the package `otelflask`, imported on first access, and old import paths of public names.

Each old path works, with a DeprecationWarning.
"""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: A name of the package → the module that has it.
_NAMES = {
    "FlaskInstrumentor": "otelflask._internal.instrumentation.http.instrumentor",
    "OtelFlask": "otelflask._internal.wiring.extension",
    "SQLAlchemyInstrumentor": "otelflask._internal.instrumentation.database.instrumentor",
    "SettingError": "otelflask._internal.settings",
    "event": "otelflask._internal.instrumentation.logs.events",
    "flush": "otelflask._internal.wiring.install",
    "get_request_id": "otelflask._internal.current_request",
    "init": "otelflask._internal.wiring.extension",
    "set_user": "otelflask._internal.current_request",
    "shutdown": "otelflask._internal.wiring.install",
}
#: Public modules that ``import otelflask`` makes attributes.
_MODULES = frozenset({"errors", "health"})

#: An old module → the module that has its public names now, and these names.
MOVED: dict[str, tuple[str, tuple[str, ...]]] = {
    "otelflask.database": ("", ()),
    "otelflask.database.instrumentor": ("otelflask", ("SQLAlchemyInstrumentor",)),
    "otelflask.distro": ("otelflask._internal.wiring.distro", ("Configurator", "Distro")),
    "otelflask.errors.answers": ("otelflask.errors", ("created", "deleted", "success", "updated")),
    "otelflask.errors.rendering": ("otelflask.errors", ("answer_errors_with",)),
    "otelflask.extension": ("otelflask", ("OtelFlask", "init")),
    "otelflask.health.checks": ("otelflask.health", ("Degraded", "check")),
    "otelflask.http": ("", ()),
    "otelflask.http.instrumentor": ("otelflask", ("FlaskInstrumentor",)),
    "otelflask.logs": ("", ()),
    "otelflask.logs.events": ("otelflask", ("event",)),
    "otelflask.record": ("otelflask", ("get_request_id", "set_user")),
    "otelflask.settings": ("otelflask", ("SettingError",)),
    "otelflask.testing.capture": ("otelflask.testing", ("CapturedTelemetry", "SequentialIds")),
    "otelflask.testing.clock": ("otelflask.testing", ("FixedClock",)),
    "otelflask.testing.collector": ("otelflask.testing", ("FakeCollector", "Received", "Reply")),
    "otelflask.testing.plugin": (
        "otelflask._internal.testing.plugin",
        ("captured_telemetry", "fake_collector", "fixed_clock"),
    ),
    "otelflask.version": ("otelflask", ("__version__",)),
    "otelflask.wiring": ("otelflask", ("flush", "shutdown")),
}


class _Finder(MetaPathFinder, Loader):
    """Finds the modules of `MOVED` that nothing else has found."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=not MOVED[fullname][0]) if fullname in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        place, names = MOVED[module.__name__]
        if not place:
            module.__dict__["__getattr__"] = functools.partial(_within, module.__name__)
        if place:
            message = f"{module.__name__} has moved: import {', '.join(names)} from {place}"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
        for name in names:
            setattr(module, name, getattr(importlib.import_module(place), name))


def _within(package: str, name: str) -> Any:
    """A moved module, as an attribute of its old package."""
    if f"{package}.{name}" not in MOVED:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return importlib.import_module(f"{package}.{name}")


def name_of_package(name: str) -> Any:
    """Import a name of `otelflask` on first access. Raises AttributeError for unknown names."""
    # First: under gunicorn and zero code, telemetry starts with the import of Flask, and needs other modules whole.
    importlib.import_module("flask")
    if name in _MODULES:
        return importlib.import_module(f"otelflask.{name}")
    if name not in _NAMES:
        return _within("otelflask", name)
    try:
        found = getattr(importlib.import_module(_NAMES[name]), name)
    except ImportError as error:
        if name != "SQLAlchemyInstrumentor":
            raise
        raise AttributeError(f"SQLAlchemyInstrumentor needs otelflask[sqlalchemy]: {error}") from error
    # The next access finds it at once.
    setattr(sys.modules["otelflask"], name, found)
    return found


def find_moved_modules() -> None:
    """Make ``import`` find the moved modules from now on."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
