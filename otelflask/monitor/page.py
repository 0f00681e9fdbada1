"""Answers below `monitor_path`, in front of the app: not traced, not logged, not counted.

To who may not see it, every path below is the app's own, whatever the method.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, quote

from otelflask.monitor.access import Gate
from otelflask.monitor.overview import overview
from otelflask.monitor.publisher import Publisher
from otelflask.monitor.store import MonitorStore
from otelflask.settings import SettingError, Settings
from otelflask.wsgi import StartResponse, WsgiApp, respond

_CONTENT_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
_TRACE_ID = re.compile(r"[0-9a-f]{32}")
SECURITY = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
]


class MonitorPage:
    """The page of one app.

    In: its settings, who may see it, the store, what brings this worker's items into it, and what gives the outcomes
    of health checks and the states of circuit breakers.
    """

    def __init__(
        self,
        settings: Settings,
        gate: Gate,
        store: MonitorStore,
        publisher: Publisher,
        facts: Callable[[], dict[str, Any]],
    ) -> None:
        self._facts = facts
        self._path = settings.monitor_path.rstrip("/")
        self._grafana = settings.grafana_url.rstrip("/")
        self._gate = gate
        self._store = store
        self._publisher = publisher
        self._assets = _assets()

    def wrap(self, wsgi_app: WsgiApp) -> WsgiApp:
        """The WSGI app with the page in front."""

        def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            if not self._publisher.started:
                self._publisher.start()
            path = environ.get("PATH_INFO", "")
            if path == self._path or path.startswith(f"{self._path}/"):
                answer = self._answer(path.removeprefix(self._path), environ, start_response)
                if answer is not None:
                    return answer
            return wsgi_app(environ, start_response)

        return application

    def _answer(self, path: str, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes] | None:
        """The answer; None for who may not see it, and for what is not there: the app answers then."""
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return None
        prefix = quote(environ.get("SCRIPT_NAME", "")) + self._path
        if path in ("", "/") and self._gate.admits_by_url(environ):
            cookie = self._gate.cookie(prefix, environ.get("wsgi.url_scheme") == "https")
            headers = [("Location", prefix), ("Set-Cookie", cookie), *SECURITY]
            return respond(environ, start_response, "303 See Other", b"", "text/plain", headers)
        if not self._gate.admits(environ):
            return None
        if path in ("", "/"):
            body = self._shell(prefix).encode()
            return respond(environ, start_response, "200 OK", body, "text/html; charset=utf-8", SECURITY)
        if path.startswith("/assets/"):
            asset = self._assets.get(path.removeprefix("/assets/"))
            if asset is None:
                return None
            return respond(environ, start_response, "200 OK", asset[0], asset[1], SECURITY)
        question = getattr(self, f"_api_{path.removeprefix('/api/').partition('/')[0]}", None)
        if not path.startswith("/api/") or question is None:
            return None
        return self._json(question, path, environ, start_response)

    def _json(self, question: Any, path: str, environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        asked = {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        try:
            self._store.look()
            self._publisher.publish()
            status, answer = "200 OK", question(path.split("/")[-1], asked)
        except (OSError, sqlite3.Error, SettingError) as error:
            status, answer = "503 Service Unavailable", {"error": f"what was seen cannot be read: {error}"}
        except ValueError as error:
            status, answer = "400 Bad Request", {"error": str(error)}
        body = json.dumps(answer).encode()
        return respond(environ, start_response, status, body, "application/json", SECURITY)

    def _shell(self, prefix: str) -> str:
        base = f"{prefix}/assets"
        return (
            "<!doctype html><html lang=en><head><meta charset=utf-8><title>otelflask</title>"
            '<meta name=viewport content="width=device-width, initial-scale=1">'
            f'<link rel=icon href="{base}/{self._hashed("icon.svg")}">'
            f'<link rel=stylesheet href="{base}/{self._hashed("page.css")}">'
            f'<script type=module src="{base}/{self._hashed("page.js")}"></script></head>'
            f'<body data-base="{prefix}" data-grafana="{quote(self._grafana, ":/")}">'
            "<main id=main><p class=empty>This page needs JavaScript.</p></main></body></html>"
        )

    def _hashed(self, name: str) -> str:
        return next(hashed for hashed in self._assets if hashed.endswith(f"-{name}"))

    def _api_overview(self, last: str, asked: dict[str, str]) -> dict[str, Any]:
        return {"now": time.time_ns(), **overview(self._store, _number(asked, "minutes") or 5, self._facts)}

    def _api_requests(self, last: str, asked: dict[str, str]) -> dict[str, Any]:
        found = self._store.requests(
            after=_number(asked, "after"),
            before=_number(asked, "before") or None,
            route=asked.get("route", ""),
            status=asked.get("status", ""),
            least_ns=_number(asked, "slower") * 1_000_000,
            text=asked.get("text", ""),
        )
        return {"now": time.time_ns(), "requests": found, "routes": self._store.routes()}

    def _api_trace(self, last: str, asked: dict[str, str]) -> dict[str, Any]:
        if not _TRACE_ID.fullmatch(last):
            raise ValueError(f"{last[:40]!r} is no trace id; allowed are 32 hexadecimal digits")
        return {"now": time.time_ns(), "items": self._store.trace(last)}

    def _api_errors(self, last: str, asked: dict[str, str]) -> dict[str, Any]:
        return {"now": time.time_ns(), "errors": self._store.errors(time.time())}

    def _api_error(self, last: str, asked: dict[str, str]) -> dict[str, Any]:
        return {"now": time.time_ns(), "report": self._store.report(last)}

    def _api_queries(self, last: str, asked: dict[str, str]) -> dict[str, Any]:
        return {"now": time.time_ns(), "queries": self._store.queries(), "repeated": self._store.repeated()}

    def _api_logs(self, last: str, asked: dict[str, str]) -> dict[str, Any]:
        found = self._store.logs(
            after=_number(asked, "after"), least_severity=_number(asked, "severity"), text=asked.get("text", "")
        )
        return {"now": time.time_ns(), "logs": found}


def _number(asked: dict[str, str], name: str) -> int:
    given = asked.get(name) or "0"
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise ValueError(f"{name} is {given[:40]!r}; allowed is a whole number")
    return int(given)


def _assets() -> dict[str, tuple[bytes, str]]:
    """Name with a hash of the content in it → content and content type."""
    found = {}
    for item in sorted(files("otelflask.monitor").joinpath("static").iterdir(), key=lambda item: item.name):
        content = item.read_bytes()
        kind = item.name.rpartition(".")[2]
        if kind in _CONTENT_TYPES:
            found[f"{hashlib.sha256(content).hexdigest()[:12]}-{item.name}"] = (content, _CONTENT_TYPES[kind])
    return found
