"""Wrap an app in profilers, inside the request middleware: one of single requests, one continuous."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import Flask

from otelflask._internal.endpoints.access import is_development
from otelflask._internal.import_hooks import is_importable
from otelflask._internal.locks import new_lock
from otelflask._internal.settings import SettingError, Settings
from otelflask._internal.shared_folder import SharedFolder, service_key
from otelflask._internal.wiring.telemetry import Telemetry
from otelflask._internal.wsgi import WsgiApp

if TYPE_CHECKING:
    # Imported on use, because it needs an extra.
    from otelflask._internal.profiles.endpoint import ProfilesEndpoint


#: Wraps the app within the request middleware.
Surround = Callable[[Callable[[WsgiApp], WsgiApp]], None]


def profile_requests(
    app: Flask, telemetry: Telemetry, settings: Settings, surround: Surround
) -> ProfilesEndpoint | None:
    """Profile requests of an app, where its settings or its debug mode ask for it.

    Returns:
        The endpoint of stored profiles; None where no request is profiled.

    Raises:
        SettingError: A setting needs an extra that is not installed.
    """
    asked = settings.profile_token or settings.profile_share or settings.profile_dir
    if not settings.profile_path or not (asked or is_development(app, settings)):
        return None
    if not is_importable("pyinstrument"):
        if asked:
            raise SettingError(
                "profiles of requests (profile_token, profile_share, profile_dir, PROFILING_ENABLED) need "
                "pyinstrument: pip install otelflask[profile]"
            )
        # In development the profiler is on where its extra is installed.
        return None
    return _profile_requests(app, telemetry, settings, surround)


def _profile_requests(app: Flask, telemetry: Telemetry, settings: Settings, surround: Surround) -> ProfilesEndpoint:
    from otelflask._internal.profiles.endpoint import ProfilesEndpoint
    from otelflask._internal.profiles.request_profiler import RequestProfiler
    from otelflask._internal.profiles.store import ProfileStore

    if telemetry.profiles is None:
        telemetry.profiles = new_lock()
    if settings.profile_dir:
        folder = SharedFolder(os.path.abspath(settings.profile_dir), setting="profile_dir")
        folder.check()
    else:
        # The folder of the machine has those of other apps too.
        folder = SharedFolder.of(telemetry.settings).below("profiles").below(service_key(telemetry.service))
    store = ProfileStore(folder, settings.profile_count)
    profiler = RequestProfiler(app, settings, store, telemetry.profiles)
    surround(profiler.wrap)
    return ProfilesEndpoint(app, settings, store)


def profile_all_the_time(app: Flask, telemetry: Telemetry, settings: Settings, surround: Surround) -> None:
    """Profile each worker continuously, where the settings ask for it.

    Raises:
        SettingError: A setting needs an extra that is not installed.
    """
    if not settings.pyroscope_url:
        return
    if telemetry.pyroscope is None:
        try:
            from otelflask._internal.profiles.continuous_profiler import ContinuousProfiler
        except ImportError as error:
            raise SettingError(str(error)) from None
        resource = telemetry.pipeline.resource
        names = ("service.version", "deployment.environment.name")
        tags = {name.replace(".", "_"): str(resource[name]) for name in names if resource.get(name)}
        name = str(resource.get("service.name") or app.name)
        telemetry.pyroscope = ContinuousProfiler(settings.pyroscope_url, name, tags)
        telemetry.parts.append(telemetry.pyroscope)
        telemetry.made_with["pyroscope_url"] = settings.pyroscope_url
    surround(telemetry.pyroscope.wrap)
