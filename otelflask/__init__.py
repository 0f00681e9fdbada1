"""OpenTelemetry for Flask: errors, logs, metrics and spans from one call."""

from typing import TYPE_CHECKING

from otelflask._internal.current_request import get_request_id, set_user
from otelflask._internal.instrumentation.http.instrumentor import FlaskInstrumentor
from otelflask._internal.instrumentation.logs.events import event
from otelflask._internal.moved import find_moved_modules
from otelflask._internal.settings import SettingError
from otelflask._internal.version import __version__
from otelflask._internal.wiring.extension import OtelFlask, init
from otelflask._internal.wiring.wiring import flush, shutdown

if TYPE_CHECKING:
    from otelflask._internal.instrumentation.database.instrumentor import SQLAlchemyInstrumentor

__all__ = [
    "FlaskInstrumentor",
    "OtelFlask",
    "SQLAlchemyInstrumentor",
    "SettingError",
    "__version__",
    "event",
    "flush",
    "get_request_id",
    "init",
    "set_user",
    "shutdown",
]

find_moved_modules()


def __getattr__(name: str) -> type["SQLAlchemyInstrumentor"]:
    """Import SQLAlchemy's instrumentor when it is asked for: it needs SQLAlchemy."""
    if name == "SQLAlchemyInstrumentor":
        from otelflask._internal.instrumentation.database.instrumentor import SQLAlchemyInstrumentor

        return SQLAlchemyInstrumentor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
