"""The endpoint `/health` and the paths below it."""

from __future__ import annotations

import json
from collections.abc import Callable

from flask import Flask
from werkzeug.wrappers import Request, Response

from otelflask._internal import clock, guard
from otelflask._internal.endpoints import access
from otelflask._internal.endpoints.endpoint import Endpoint, text_response
from otelflask._internal.health import bodies, draining
from otelflask._internal.health.bodies import HEALTH_JSON, Checked
from otelflask._internal.health.checks import FAIL, PASS, Checks, worst
from otelflask._internal.settings import Settings


class HealthEndpoint(Endpoint):
    """The health endpoint of one app.

    Args:
        app: The app.
        settings: Its settings.
        checks: Its checks.
        service: The service's description (`service`, `version`).
    """

    def __init__(self, app: Flask, settings: Settings, checks: Checks, service: dict[str, str]) -> None:
        super().__init__(app, settings.health_path)
        self._settings = settings
        self._checks = checks
        self._service = {name: value for name, value in service.items() if value}
        self._started = False
        self._below: dict[str, Callable[[], tuple[str, Checked]]] = {
            "": self._all,
            "live": self._live,
            "ready": self._ready,
            "startup": self._startup,
        }
        self._paths = {f"{self.path}/{name}".rstrip("/"): name for name in self._below}

    def takes(self, path: str) -> bool:
        return path in self._paths and path not in self._rules_of_app()

    def answer(self, request: Request) -> Response:
        status: str = FAIL
        checks: Checked = []
        about = self._paths[request.path]
        with guard.log_errors("health", "the health checks failed"):
            status, checks = self._below[about]()
        may_see = self._may_see(request)
        accepted = request.accept_mimetypes
        # A wildcard does not ask for it.
        asked = [value for value, quality in accepted if quality and value.partition(";")[0].lower() == HEALTH_JSON]
        if asked:
            body = bodies.health_json(status, self._service, checks, details=may_see)
        else:
            body = bodies.plain(about, status, checks, clock.timestamp(self._settings.timestamp_format))
            if may_see:
                body = bodies.with_details(body, self._service, checks)
        content_type = HEALTH_JSON if asked else "application/json"
        text = json.dumps(body, ensure_ascii=False)
        response = text_response(text, 503 if status == FAIL else 200, content_type)
        response.vary.add("Accept")
        return response

    def _may_see(self, request: Request) -> bool:
        if self._settings.health_token:
            return access.has_token(request, self._settings.health_token)
        return access.is_development(self._app, self._settings)

    def _live(self) -> tuple[str, Checked]:
        # Nothing outside of the process is checked: an orchestrator would restart the app for its database.
        return PASS, []

    def _all(self) -> tuple[str, Checked]:
        checks = self._checks.run()
        return worst(checks), checks

    def _ready(self) -> tuple[str, Checked]:
        if draining.is_draining():
            return FAIL, []
        checks = self._checks.run(critical_only=True)
        return worst(checks), checks

    def _startup(self) -> tuple[str, Checked]:
        if self._started:
            return PASS, []
        checks = self._checks.run(critical_only=True)
        status = worst(checks)
        self._started = status != FAIL
        return status, checks
