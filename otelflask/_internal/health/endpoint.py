"""The endpoint `/health` and the paths below it.

Format: draft-inadarei-api-health-check-06, application/health+json.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from flask import Flask
from werkzeug.wrappers import Request, Response

from otelflask._internal import guard
from otelflask._internal.endpoints import access
from otelflask._internal.endpoints.endpoint import Endpoint, text_response
from otelflask._internal.health import draining
from otelflask._internal.health.checks import FAIL, PASS, WARN, Check, Checks, Outcome
from otelflask._internal.settings import Settings


class HealthEndpoint(Endpoint):
    """The health endpoint of one app.

    Args:
        app: The app.
        settings: Its settings.
        checks: Its checks.
        about: The service's description (`serviceId`, `version`).
    """

    def __init__(self, app: Flask, settings: Settings, checks: Checks, about: dict[str, str]) -> None:
        super().__init__(app, settings.health_path)
        self._settings = settings
        self._checks = checks
        self._about = {name: value for name, value in about.items() if value}
        self._started = False
        self._paths: dict[str, Callable[[], tuple[str, list[tuple[Check, Outcome]]]]] = {
            self.path: self._all,
            f"{self.path}/live": self._live,
            f"{self.path}/ready": self._ready,
            f"{self.path}/startup": self._startup,
        }

    def takes(self, path: str) -> bool:
        return path in self._paths and path not in self._rules_of_app()

    def answer(self, request: Request) -> Response:
        status: str = FAIL
        checks: list[tuple[Check, Outcome]] = []
        with guard.log_errors("health", "the health checks failed"):
            status, checks = self._paths[request.path]()
        body: dict[str, Any] = {"status": status}
        if self._may_see(request):
            body.update(self._about)
            if checks:
                shown: dict[str, list[dict[str, Any]]] = {}
                for item, outcome in checks:
                    shown.setdefault(item.name, []).append(_shown(item, outcome))
                body["checks"] = shown
        return text_response(json.dumps(body), 503 if status == FAIL else 200, "application/health+json")

    def _may_see(self, request: Request) -> bool:
        if self._settings.health_token:
            return access.has_token(request, self._settings.health_token)
        return access.is_development(self._app, self._settings)

    def _live(self) -> tuple[str, list[tuple[Check, Outcome]]]:
        # Nothing outside of the process is checked: an orchestrator would restart the app for its database.
        return PASS, []

    def _all(self) -> tuple[str, list[tuple[Check, Outcome]]]:
        checks = self._checks.run()
        return _worst(checks), checks

    def _ready(self) -> tuple[str, list[tuple[Check, Outcome]]]:
        if draining.is_draining():
            return FAIL, []
        checks = self._checks.run(critical_only=True)
        return _worst(checks), checks

    def _startup(self) -> tuple[str, list[tuple[Check, Outcome]]]:
        if self._started:
            return PASS, []
        checks = self._checks.run(critical_only=True)
        status = _worst(checks)
        self._started = status != FAIL
        return status, checks


def _worst(checks: list[tuple[Check, Outcome]]) -> str:
    """``fail`` where a critical check fails, ``warn`` where another check fails or any check warns."""
    status = PASS
    for item, outcome in checks:
        if outcome.status == FAIL and item.critical:
            return FAIL
        if outcome.status != PASS:
            status = WARN
    return status


def _shown(item: Check, outcome: Outcome) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "status": outcome.status,
        "time": datetime.fromtimestamp(outcome.at, timezone.utc).isoformat(timespec="milliseconds"),
        "critical": item.critical,
        "durationSeconds": round(outcome.seconds, 6),
    }
    if outcome.observed is not None:
        shown.update(observedValue=outcome.observed, observedUnit=outcome.unit)
    if outcome.output:
        shown["output"] = outcome.output
    return shown
