"""Health: checks of the app's own and of what it depends on."""

from otelflask.health.checks import Degraded, check

__all__ = ["Degraded", "check"]
