"""OpenTelemetry for Flask: errors, logs, metrics and spans from one call."""

from otelflask.extension import OtelFlask, init
from otelflask.http.instrumentor import FlaskInstrumentor
from otelflask.logs.events import event
from otelflask.record import get_request_id, set_user
from otelflask.settings import SettingError
from otelflask.version import __version__
from otelflask.wiring import flush, shutdown

__all__ = [
    "FlaskInstrumentor",
    "OtelFlask",
    "SettingError",
    "__version__",
    "event",
    "flush",
    "get_request_id",
    "init",
    "set_user",
    "shutdown",
]
