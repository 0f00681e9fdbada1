"""Zero code: the distro and configurator that ``opentelemetry-instrument`` finds by entry points."""

from __future__ import annotations

import os
from typing import Any

from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]

from otelflask._internal.export.environment import set_defaults
from otelflask._internal.import_hooks import is_importable
from otelflask._internal.instrumentation import libraries
from otelflask._internal.lifecycle.reloader import is_reloader_parent
from otelflask._internal.settings.loading import load as load_settings
from otelflask._internal.supported_versions import is_supported
from otelflask._internal.wiring import install as wiring

#: Stock instrumentations that ours replace. Both together would make every span and line twice.
REPLACED = frozenset({"flask", "sqlalchemy", "wsgi", "logging", "system_metrics"})


_DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


class Distro(BaseDistro):  # type: ignore[misc]
    """Sets defaults, and selects the instrumentations to load."""

    def _configure(self, **kwargs: Any) -> None:
        set_defaults(os.environ)
        # Also marked as disabled: the loader checks version limits first, and would log that SQLAlchemy 2.1 cannot be
        # instrumented.
        disabled = os.environ.get(_DISABLED, "")
        if disabled != "*":
            os.environ[_DISABLED] = ",".join(filter(None, [disabled, *sorted(REPLACED)]))

    def load_instrumentor(self, entry_point: Any, **kwargs: Any) -> None:
        """Load an instrumentation, unless ours replaces or uses it."""
        name = entry_point.name
        if name in REPLACED or name in libraries.INSTRUMENTORS:
            return
        if entry_point.module.rpartition(".")[2] in libraries.INSTRUMENTORS and not is_importable(name):
            # It belongs to another library of the same package: httpx2, whose instrumentor would import httpx.
            return
        if name in libraries.DRIVERS and is_importable("sqlalchemy"):
            return
        super().load_instrumentor(entry_point, **kwargs)


class Configurator:
    """Builds the pipeline and instruments Flask before the app is imported."""

    def configure(self, **kwargs: Any) -> None:
        """Start telemetry.

        Args:
            **kwargs: What ``opentelemetry-instrument`` passes.
        """
        settings = load_settings({}, {})
        if settings.disabled or is_reloader_parent() or not is_supported("Flask"):
            return
        service_name = os.environ.get("FLASK_APP", "").partition(":")[0].removesuffix(".py")
        wiring.instrument_new_apps(settings, service_name)
