"""OpenTelemetry for Flask: errors, logs, metrics and spans from one call."""

from otelflask.extension import OtelFlask, init
from otelflask.http.instrumentor import FlaskInstrumentor
from otelflask.http.record import get_request_id, set_user
from otelflask.logs.events import event
from otelflask.process import flush, shutdown
from otelflask.settings import SettingError
from otelflask.version import __version__

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
