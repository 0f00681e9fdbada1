"""Service: what the resource says, and whether anything is on."""

from __future__ import annotations

from dataclasses import dataclass

from otelflask._internal.settings.setting import per_app, setting


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Service."""

    service_name: str = setting(
        "OTEL_SERVICE_NAME",
        "",
        "`service.name` of the resource. Empty: the Flask app's import name, unless OTEL_RESOURCE_ATTRIBUTES has one.",
    )
    service_version: str = setting("OTELFLASK_SERVICE_VERSION", "", "`service.version` of the resource.")
    environment: str = setting(
        "OTELFLASK_ENVIRONMENT", "", "`deployment.environment.name` of the resource, such as `production`."
    )
    disabled: bool = per_app(
        "OTEL_SDK_DISABLED",
        False,
        "Turns everything off. The app runs as without otelflask.",
    )
