"""Zero code: the distro and configurator that ``opentelemetry-instrument`` finds by entry points."""

from __future__ import annotations

import functools
import os
from typing import Any

from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]

from otelflask._internal import guard
from otelflask._internal.import_hooks import is_importable, when_imported
from otelflask._internal.lifecycle.parents import imports_apps_later, is_reloader_parent
from otelflask._internal.settings import Settings
from otelflask._internal.settings.libraries import ADDED, DISABLED, DRIVERS, INSTRUMENTORS, REPLACED
from otelflask._internal.settings.loading import load as load_settings
from otelflask._internal.settings.otel_defaults import set_defaults
from otelflask._internal.supported_versions import is_supported

#: Like `REPLACED`, with names that switch ours off too. So they must not be added to the disabled ones.
_SWITCHES = frozenset({"celery", "click", "threading"})


class Distro(BaseDistro):  # type: ignore[misc]
    """Sets defaults, and selects the instrumentations to load."""

    def _configure(self, **kwargs: Any) -> None:
        set_defaults(os.environ)
        # Also marked as disabled: the loader checks version limits first, and would log that SQLAlchemy 2.1 cannot be
        # instrumented.
        disabled = os.environ.get(DISABLED, "")
        if disabled != "*" and ADDED not in disabled:
            os.environ[DISABLED] = ",".join(filter(None, [disabled, ADDED, *REPLACED]))

    def load_instrumentor(self, entry_point: Any, **kwargs: Any) -> None:
        """Load an instrumentation, unless ours replaces or uses it."""
        name = entry_point.name
        if name in REPLACED or name in _SWITCHES or name in INSTRUMENTORS:
            return
        if entry_point.module.rpartition(".")[2] in INSTRUMENTORS and not is_importable(name):
            # It belongs to another library of the same package: httpx2, whose instrumentor would import httpx.
            return
        if name in DRIVERS and is_importable("sqlalchemy"):
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
        if imports_apps_later():
            # A server's master answers no request. Mostly it does not even import the app: each worker does, and starts
            # telemetry then. The master stays small and has no thread.
            when_imported("flask", functools.partial(_start_with_flask, settings, service_name))
        else:
            _start(settings, service_name)


def _start(settings: Settings, service_name: str) -> None:
    # Here, because it imports all that telemetry needs.
    from otelflask._internal.wiring.install import instrument_new_apps

    instrument_new_apps(settings, service_name)


def _start_with_flask(settings: Settings, service_name: str) -> None:
    with guard.log_errors("start", "telemetry does not start"):
        _start(settings, service_name)
