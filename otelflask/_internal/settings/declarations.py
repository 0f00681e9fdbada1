"""All settings of an app, by groups.

Precedence: keyword argument > ``app.config["OTELFLASK_<NAME>"]`` > environment > known names of
others > default. What OpenTelemetry names keeps its ``OTEL_*`` variable, and the rest has an
``OTELFLASK_*`` variable. The tables in ``docs/settings.md`` are made from here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from otelflask._internal.settings.groups.database import DatabaseSettings
from otelflask._internal.settings.groups.endpoints import EndpointSettings
from otelflask._internal.settings.groups.errors import ErrorSettings
from otelflask._internal.settings.groups.export import ExportSettings
from otelflask._internal.settings.groups.logs import LogSettings
from otelflask._internal.settings.groups.requests import RequestSettings
from otelflask._internal.settings.groups.service import ServiceSettings

#: The groups, in the order of the docs.
GROUPS = (
    ServiceSettings,
    RequestSettings,
    ErrorSettings,
    DatabaseSettings,
    LogSettings,
    EndpointSettings,
    ExportSettings,
)


@dataclass(frozen=True, kw_only=True)
class Settings(
    ServiceSettings,
    RequestSettings,
    ErrorSettings,
    DatabaseSettings,
    LogSettings,
    EndpointSettings,
    ExportSettings,
):
    """The effective settings of one app."""

    @property
    def is_development(self) -> bool:
        """Whether the environment is ``development``, in any case of its letters."""
        return self.environment.strip().lower() == "development"


#: Settings of the process: those of its first app count. All others may differ from app to app.
PER_PROCESS = tuple(item.name for item in fields(Settings) if not item.metadata["per_app"])
#: Settings of parts that are made for the first app that wants them.
WHEN_WANTED = frozenset({"log_console", "health_redis", "monitor_size", "pyroscope_url"})
