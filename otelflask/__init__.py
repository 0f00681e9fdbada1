"""OpenTelemetry for Flask: errors, logs, metrics and spans from one call."""

import importlib
from typing import TYPE_CHECKING, Any

from otelflask import errors, health
from otelflask._internal.current_request import get_request_id, set_user
from otelflask._internal.instrumentation.http.instrumentor import FlaskInstrumentor
from otelflask._internal.instrumentation.logs.events import event
from otelflask._internal.moved import MOVED, find_moved_modules
from otelflask._internal.settings import SettingError
from otelflask._internal.version import __version__
from otelflask._internal.wiring.extension import OtelFlask, init
from otelflask._internal.wiring.install import flush, shutdown

if TYPE_CHECKING:
    from otelflask._internal.instrumentation.database.instrumentor import (
        SQLAlchemyInstrumentor as SQLAlchemyInstrumentor,
    )

__all__ = [
    "FlaskInstrumentor",
    "OtelFlask",
    "SettingError",
    "__version__",
    "errors",
    "event",
    "flush",
    "get_request_id",
    "health",
    "init",
    "set_user",
    "shutdown",
]

find_moved_modules()


def __getattr__(name: str) -> Any:
    """Import what is imported when it is asked for: SQLAlchemy's instrumentor, which needs it, and what has moved."""
    if name == "SQLAlchemyInstrumentor":
        try:
            module = importlib.import_module("otelflask._internal.instrumentation.database.instrumentor")
        except ImportError as error:
            raise AttributeError(f"SQLAlchemyInstrumentor needs otelflask[sqlalchemy]: {error}") from error
        return module.SQLAlchemyInstrumentor
    if f"{__name__}.{name}" in MOVED:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
