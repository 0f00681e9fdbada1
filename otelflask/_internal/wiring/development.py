"""What an app gets in development, whenever its debug mode is decided.

``flask run --debug`` decides it before `init`, and ``app.run(debug=True)`` after it. So the live
page, profiles and the console are completed once more before a development server serves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from flask import Flask

from otelflask._internal import guard
from otelflask._internal.endpoints.access import is_development
from otelflask._internal.endpoints.endpoint import Endpoints
from otelflask._internal.live_page.show.gate import Gate, MayMonitor
from otelflask._internal.local_output.attach import attach_console, console_style
from otelflask._internal.settings import Settings
from otelflask._internal.wiring import app_endpoints, profilers
from otelflask._internal.wiring.telemetry import Telemetry

if TYPE_CHECKING:
    # Imported on use, because it needs an extra.
    from otelflask._internal.profiles.endpoint import ProfilesEndpoint


class Development:
    """Live page, profiles and console of one app.

    Args:
        app: The app.
        telemetry: The process's telemetry.
        settings: The app's settings.
        sources: Where the settings come from.
        endpoints: The app's endpoints.
        surround: Wraps the app within the request middleware.
        observe: Called when somebody may see the app's live page: its requests are collected from then on.
        may_monitor: The user's function, or None.
    """

    def __init__(
        self,
        app: Flask,
        telemetry: Telemetry,
        settings: Settings,
        sources: Mapping[str, str],
        endpoints: Endpoints,
        surround: profilers.Surround,
        observe: Callable[[], None],
        may_monitor: MayMonitor | None,
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._settings = settings
        self._sources = sources
        self._endpoints = endpoints
        self._surround = surround
        self._observe = observe
        self._may_monitor = may_monitor
        self._profiles: ProfilesEndpoint | None = None
        self._gate: Gate | None = None

    def complete(self) -> None:
        """Add what the app's settings and its debug mode ask for, and what it does not have yet.

        Raises:
            SettingError: A setting needs an extra that is not installed, or the page is on and nobody could see it.
        """
        self.attach_console()
        if self._profiles is None:
            self._profiles = profilers.profile_requests(self._app, self._telemetry, self._settings, self._surround)
            if self._profiles is not None:
                self._endpoints.add(self._profiles)
        if self._gate is None:
            self._gate = app_endpoints.collect_for_live_page(
                self._app, self._telemetry, self._settings, self._may_monitor
            )
            if self._gate is not None:
                self._observe()
                page = app_endpoints.live_page_of(
                    self._app, self._telemetry, self._settings, self._sources, self._gate, self._profiles
                )
                self._endpoints.add(page)

    def attach_console(self) -> None:
        """Write lines to the console where the setting, or the debug mode, asks for it."""
        if attach_console(self._telemetry.pipeline, console_style(self._settings, self._app.debug)):
            self._telemetry.made_with["log_console"] = self._settings.log_console

    def before_serving(self, address: str, application: object) -> None:
        """Complete it for a development server, and log the address of the live page as the server logs its own.

        Args:
            address: The server's; empty for a Unix socket.
            application: What it serves. If that is a Flask app, it is the only one that counts.
        """
        if isinstance(application, Flask) and application is not self._app:
            return
        if is_development(self._app, self._settings):
            with guard.log_errors("development", "the live page cannot be added"):
                self.complete()
        if self._gate is not None and address:
            path = self._settings.monitor_path
            logging.getLogger("werkzeug").info(" * Live page of %s: %s%s", self._app.name, address, path)
