"""Health: checks of the app's own and of what it depends on."""

from otelflask._internal.health.checks import Degraded, check

__all__ = ["Degraded", "check"]
