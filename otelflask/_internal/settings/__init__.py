"""Settings: their declarations, and how they are read."""

from otelflask._internal.settings.declarations import GROUPS, PER_PROCESS, WHEN_WANTED, Settings
from otelflask._internal.settings.setting import SettingError

__all__ = ["GROUPS", "PER_PROCESS", "WHEN_WANTED", "SettingError", "Settings"]
