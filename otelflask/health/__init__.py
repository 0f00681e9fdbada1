"""Health checks of the app and of the services that it needs."""

from otelflask._internal.health.checks import Degraded, check

__all__ = ["Degraded", "check"]
