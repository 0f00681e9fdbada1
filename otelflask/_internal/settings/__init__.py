"""Settings: what can be set, and where it is read from."""

from otelflask._internal.settings.declarations import PER_PROCESS, WHEN_WANTED, Settings
from otelflask._internal.settings.setting import SettingError

__all__ = ["PER_PROCESS", "WHEN_WANTED", "SettingError", "Settings"]
