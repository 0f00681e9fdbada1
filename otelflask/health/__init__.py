"""Health checks of the app and of the services that it needs."""

# First: under gunicorn and zero code, telemetry starts with the import of Flask, and needs the modules below whole.
import flask as _flask  # noqa: F401

from otelflask._internal.health.checks import Degraded, check

__all__ = ["Degraded", "check"]
