"""Answers `/health` and what is below it, in front of the app: no trace, no log line, no hook of the app's.

Format: draft-inadarei-api-health-check-06, application/health+json.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from flask import Flask

from otelflask import access, guard
from otelflask.health import draining
from otelflask.health.checks import FAIL, PASS, WARN, Check, Checks, Outcome
from otelflask.settings import Settings
from otelflask.wsgi import StartResponse, WsgiApp, respond


class Health:
    """Answers of one app.

    In: the app, its settings, its checks, and what is said of the service
    (`serviceId`, `version`).
    """

    def __init__(self, app: Flask, settings: Settings, checks: Checks, about: dict[str, str]) -> None:
        self._app = app
        self._settings = settings
        self._checks = checks
        self._about = {name: value for name, value in about.items() if value}
        self._started = False
        base = settings.health_path.rstrip("/")
        self._paths: dict[str, Callable[[], tuple[str, list[tuple[Check, Outcome]]]]] = {
            base: self._all,
            f"{base}/live": self._live,
            f"{base}/ready": self._ready,
            f"{base}/startup": self._startup,
        }

    def wrap(self, wsgi_app: WsgiApp) -> WsgiApp:
        """The WSGI app with these paths in front; where the app has one of them itself, its own counts."""

        def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path in self._paths and environ.get("REQUEST_METHOD") in ("GET", "HEAD") and not self._is_apps(path):
                return self._answer(path, environ, start_response)
            return wsgi_app(environ, start_response)

        return application

    def _is_apps(self, path: str) -> bool:
        return any(rule.rule.rstrip("/") == path for rule in self._app.url_map.iter_rules())

    def _answer(self, path: str, environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        try:
            status, checks = self._paths[path]()
        except Exception:
            guard.say("health", "the health checks failed", exc_info=True)
            status, checks = FAIL, []
        body: dict[str, Any] = {"status": status}
        if self._may_see(environ):
            body.update(self._about)
            if checks:
                shown: dict[str, list[dict[str, Any]]] = {}
                for item, outcome in checks:
                    shown.setdefault(item.name, []).append(_shown(item, outcome))
                body["checks"] = shown
        given = "503 Service Unavailable" if status == FAIL else "200 OK"
        return respond(environ, start_response, given, json.dumps(body).encode(), "application/health+json")

    def _may_see(self, environ: dict[str, Any]) -> bool:
        if self._settings.health_token:
            return access.bears(environ, self._settings.health_token)
        return access.is_development(self._app, self._settings)

    def _live(self) -> tuple[str, list[tuple[Check, Outcome]]]:
        # Of nothing outside: an orchestrator would restart the app for its database's sake.
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
    """Fail where a critical check fails; warn where another does, or any warns."""
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
