"""OpenTelemetry for Flask: errors, logs, metrics and spans from one call.

PYTEST_DONT_REWRITE: zero code imports this package before pytest, which would warn that it comes too late.
"""

import typing as _typing

from otelflask._internal import names as _names
from otelflask._internal.version import __version__

if _typing.TYPE_CHECKING:
    from otelflask import errors, health
    from otelflask._internal.current_request import get_request_id, set_user
    from otelflask._internal.instrumentation.database.instrumentor import (
        SQLAlchemyInstrumentor as SQLAlchemyInstrumentor,
    )
    from otelflask._internal.instrumentation.http.instrumentor import FlaskInstrumentor
    from otelflask._internal.instrumentation.logs.events import event
    from otelflask._internal.settings import SettingError
    from otelflask._internal.wiring.extension import OtelFlask, init
    from otelflask._internal.wiring.install import flush, shutdown

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

_names.find_moved_modules()
if not _typing.TYPE_CHECKING:
    # A server's master may load the distro alone. Type checkers do not see this function, so an unknown name stays an
    # error for them.
    __getattr__ = _names.name_of_package
