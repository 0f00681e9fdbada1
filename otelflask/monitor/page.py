"""Answers below `monitor_path`, in front of the app: not traced, not logged, not counted.

To who may not see it, every path below is the app's own, whatever the method.
"""

from __future__ import annotations

import gzip
import hashlib
import sqlite3
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from markupsafe import Markup
from opentelemetry import context as context_api
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from otelflask import guard
from otelflask.monitor.access import PARAMETER, Gate
from otelflask.monitor.assets import Assets
from otelflask.monitor.publisher import Publisher
from otelflask.monitor.rendering import make_environment
from otelflask.monitor.views import View, Views
from otelflask.settings import SettingError
from otelflask.wsgi import StartResponse, WsgiApp, respond

SECURITY = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Vary", "Accept-Encoding"),
]
#: Bytes from which on an answer is compressed.
WORTH_COMPRESSING = 1_000
_FOR_EVER = "private, max-age=31536000, immutable"
#: Parameters of the script's, which are no part of a view's address.
_OF_SCRIPT = ("live", "after", "before")
_CANNOT_BE_DRAWN = View("problem.html", {"problem": "This view cannot be drawn; the app's log says why."})
#: Stands for an answer where drawing it went wrong.
_FAILED: list[bytes] = []


class MonitorPage:
    """The page of one app.

    In: where it is; the service's name; who may see it; its views; what brings this worker's items into the file
    that they ask.
    """

    def __init__(self, path: str, service: str, gate: Gate, views: Views, publisher: Publisher) -> None:
        self._path = path.rstrip("/")
        self._service = service
        self._gate = gate
        self._views = views
        self._publisher = publisher
        self._assets = Assets()
        self._templates = make_environment()

    def wrap(self, wsgi_app: WsgiApp) -> WsgiApp:
        """The WSGI app with the page in front."""

        def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            if not self._publisher.started:
                guard.call_hook("live page's start", self._publisher.start)
            path = environ.get("PATH_INFO", "")
            if path == self._path or path.startswith(f"{self._path}/"):
                # What the page uses may be instrumented, such as SQLite.
                token = context_api.attach(context_api.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
                try:
                    answer = self._answer(path.removeprefix(self._path), environ, start_response)
                finally:
                    context_api.detach(token)
                if answer is not None:
                    return answer
            return wsgi_app(environ, start_response)

        return application

    def _answer(self, path: str, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes] | None:
        """The answer; None for who may not see it, and for what is not there: the app answers then."""
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return None
        base = _quoted(environ.get("SCRIPT_NAME", "").rstrip("/")) + self._path
        asked = {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        if self._gate.admits_by_url(environ):
            # Back to the same view, without the token in its address.
            rest = urlencode({name: value for name, value in asked.items() if name != PARAMETER})
            cookie = self._gate.cookie(base, environ.get("wsgi.url_scheme") == "https")
            address = base + _quoted(path) + (f"?{rest}" if rest else "")
            headers = [("Location", address), ("Set-Cookie", cookie), *SECURITY]
            return respond(environ, start_response, "303 See Other", b"", "text/plain", headers)
        if not self._gate.admits(environ):
            return None
        asset = self._assets.get(path)
        if asset is not None:
            zipped = _accepts_gzip(environ)
            headers = [("Content-Encoding", "gzip"), *SECURITY] if zipped else SECURITY
            body = asset.compressed if zipped else asset.content
            return respond(environ, start_response, "200 OK", body, asset.content_type, headers, cache=_FOR_EVER)
        answer = self._draw(base, path, asked, environ, start_response)
        if answer is not _FAILED:
            return answer
        html, _ = self._html(_CANNOT_BE_DRAWN, base, path, asked)
        return self._say(HTTPStatus.INTERNAL_SERVER_ERROR, html, environ, start_response)

    @guard.guarded("the live page", default=_FAILED)
    def _draw(
        self, base: str, path: str, asked: dict[str, str], environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes] | None:
        status = HTTPStatus.OK
        try:
            self._publisher.look()
            view = self._views.view(path, asked)
        except (OSError, sqlite3.Error, SettingError) as error:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            view = View("problem.html", {"problem": f"What was seen cannot be read: {error}"})
        except ValueError as error:
            status = HTTPStatus.BAD_REQUEST
            view = View("problem.html", {"problem": str(error)})
        if view is None:
            return None
        if not view.is_news:
            return _say_nothing(start_response)
        html, version = self._html(view, base, path, asked)
        if asked.get("live") == version and not view.is_list:
            return _say_nothing(start_response)
        return self._say(status, html, environ, start_response)

    def _html(self, view: View, base: str, path: str, asked: dict[str, str]) -> tuple[str, str]:
        """The drawn view, alone where the script asks for it, else in its frame; and its version."""
        given = {
            "base": base,
            "assets": f"{base}/assets/{self._assets.version}",
            "service": self._service,
            "here": path.strip("/").partition("/")[0],
            "query": urlencode({name: value for name, value in asked.items() if name not in _OF_SCRIPT}),
            **view.context,
        }
        main = Markup(self._templates.get_template(view.template).render(given))
        version = view.version or hashlib.blake2b(main.encode(), digest_size=8).hexdigest()
        if "live" in asked:
            return f'<!doctype html><meta charset=utf-8><main data-version="{version}">{main}</main>', version
        return self._templates.get_template("base.html").render(given, main=main, version=version), version

    @staticmethod
    def _say(status: HTTPStatus, html: str, environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        body = html.encode()
        headers = SECURITY
        if len(body) >= WORTH_COMPRESSING and _accepts_gzip(environ):
            body = gzip.compress(body, 1, mtime=0)
            headers = [("Content-Encoding", "gzip"), *SECURITY]
        line = f"{status.value} {status.phrase}"
        return respond(environ, start_response, line, body, "text/html; charset=utf-8", headers)


def _quoted(path: str) -> str:
    """A path as WSGI has it (bytes as Latin-1, PEP 3333), for an address of this host: two slashes would be another."""
    return "/" + quote(path.encode("latin-1")).lstrip("/") if path else ""


def _say_nothing(start_response: StartResponse) -> list[bytes]:
    """Nothing is new. Without a length (RFC 9110, section 8.6)."""
    start_response("204 No Content", [("Cache-Control", "no-store"), *SECURITY])
    return []


def _accepts_gzip(environ: dict[str, Any]) -> bool:
    return "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")
