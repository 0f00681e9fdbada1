"""Settings: what can be set, where it is read from, and what OpenTelemetry's own variables say."""

from otelflask._internal.settings.declarations import PER_PROCESS, WHEN_WANTED, SettingError, Settings

__all__ = ["PER_PROCESS", "WHEN_WANTED", "SettingError", "Settings"]
