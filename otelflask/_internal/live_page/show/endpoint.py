"""Answers below `monitor_path`, in front of the app: not traced, logged or counted.

For visitors without access, all paths below it belong to the app, whatever the method.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qs, quote, urlencode

from flask import Flask
from markupsafe import Markup
from werkzeug.wrappers import Request, Response

from otelflask._internal import clock
from otelflask._internal.endpoints.endpoint import Endpoint, compressed, text_response
from otelflask._internal.live_page.collect.publisher import INTERVAL_S, Publisher
from otelflask._internal.live_page.show.assets import Asset, Assets
from otelflask._internal.live_page.show.gate import PARAMETER, Gate
from otelflask._internal.live_page.show.rendering import make_environment
from otelflask._internal.live_page.show.system_health import system_health
from otelflask._internal.live_page.show.views import View, Views
from otelflask._internal.settings import SettingError

SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
}
#: The key in the environ that marks a request with access.
_ADMITTED = "otelflask.monitor.admitted"
_FOR_EVER = "private, max-age=31536000, immutable"
#: Parameters of the script. They are not part of a view's address.
_OF_SCRIPT = ("live", "after", "before")
_CANNOT_BE_DRAWN = View("problem.html", {"problem": "This view cannot be drawn; the app's log says why."})


class MonitorEndpoint(Endpoint):
    """The page of one app.

    Args:
        app: The app.
        path: The page's path.
        service: The service's name.
        gate: Decides who may see it.
        views: The views.
        publisher: Publishes this worker's items.
        timestamp_format: The setting of this name.
        health_status: Runs the app's health checks, and returns ``pass``, ``warn`` or ``fail``.
    """

    def __init__(
        self,
        app: Flask,
        path: str,
        service: str,
        gate: Gate,
        views: Views,
        publisher: Publisher,
        timestamp_format: str,
        health_status: Callable[[], str],
    ) -> None:
        super().__init__(app, path)
        self._health_status = health_status
        self._timestamp_format = timestamp_format
        self._service = service
        self._gate = gate
        self._views = views
        self._publisher = publisher
        self._assets = Assets()
        self._templates = make_environment()

    @property
    def has_begun(self) -> bool:
        return self._publisher.started

    def begin(self) -> None:
        self._publisher.start()

    def takes(self, path: str) -> bool:
        return path == self.path or path.startswith(f"{self.path}/")

    def answer(self, request: Request) -> Response | None:
        """The response; None to let the app answer: without access, and for unknown paths."""
        path = request.path.removeprefix(self.path)
        base = _quoted(request.root_path.rstrip("/")) + self.path
        # Not by Werkzeug, which raises for bytes that are not UTF-8.
        parameters = {name: values[-1] for name, values in parse_qs(request.environ.get("QUERY_STRING", "")).items()}
        if self._gate.admits_by_url(request):
            return self._with_cookie(request, base, path, parameters)
        if not self._gate.admits(request):
            return None
        request.environ[_ADMITTED] = True
        asset = self._assets.get(path)
        if asset is not None:
            return _secured(_asset_response(request, asset))
        if path == "/dashboard":
            return self._redirect(base, "", parameters)
        if path == "/health":
            return self._health()
        name, _, form = path.removeprefix("/profiles/").partition("/")
        if path.startswith("/profiles/") and self._views.profiles is not None:
            return self._views.profiles.page(name, form or "html")
        return self._draw(request, base, path, parameters)

    def failed(self, request: Request) -> Response | None:
        if _ADMITTED not in request.environ:
            # Without access the page does not exist.
            return None
        base = _quoted(request.root_path.rstrip("/")) + self.path
        html, _ = self._html(_CANNOT_BE_DRAWN, base, request.path.removeprefix(self.path), {})
        return self._html_response(request, HTTPStatus.INTERNAL_SERVER_ERROR, html)

    def _with_cookie(self, request: Request, base: str, path: str, parameters: dict[str, str]) -> Response:
        """Redirect to the same view without the token in its address, and set the cookie."""
        response = self._redirect(base, path, {name: value for name, value in parameters.items() if name != PARAMETER})
        self._gate.set_cookie(request, response, base)
        return response

    @staticmethod
    def _redirect(base: str, path: str, parameters: dict[str, str]) -> Response:
        response = text_response("", HTTPStatus.SEE_OTHER)
        response.location = base + _quoted(path) + (f"?{urlencode(parameters)}" if parameters else "")
        return _secured(response)

    def _health(self) -> Response:
        status, body = HTTPStatus.OK, {}
        try:
            if self._publisher.mark_open():
                # The others notice it within this time, and then publish their state.
                time.sleep(2 * INTERVAL_S)
            body = system_health(self._views.repository, self._health_status(), clock.time())
        except (OSError, sqlite3.Error, SettingError) as error:
            status, body = HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unknown", "error": str(error)}
        body["timestamp"] = clock.timestamp(self._timestamp_format)
        return _secured(text_response(json.dumps(body, ensure_ascii=False), status, "application/json"))

    def _draw(self, request: Request, base: str, path: str, parameters: dict[str, str]) -> Response | None:
        status = HTTPStatus.OK
        try:
            self._publisher.mark_open()
            view = self._views.view(path, parameters)
        except (OSError, sqlite3.Error, SettingError) as error:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            view = View("problem.html", {"problem": f"What was seen cannot be read: {error}"})
        except ValueError as error:
            status = HTTPStatus.BAD_REQUEST
            view = View("problem.html", {"problem": str(error)})
        if view is None:
            return None
        if not view.is_news:
            return _nothing_new()
        html, version = self._html(view, base, path, parameters)
        if parameters.get("live") == version and not view.is_list:
            return _nothing_new()
        return self._html_response(request, status, html)

    def _html(self, view: View, base: str, path: str, parameters: dict[str, str]) -> tuple[str, str]:
        """A view as HTML, and its version. The script gets the view alone, a browser gets it in its frame."""
        given = {
            "base": base,
            "assets": f"{base}/assets/{self._assets.version}",
            "service": self._service,
            "here": path.strip("/").partition("/")[0],
            "query": urlencode({name: value for name, value in parameters.items() if name not in _OF_SCRIPT}),
            **view.context,
        }
        main = Markup(self._templates.get_template(view.template).render(given))
        version = view.version or hashlib.blake2b(main.encode(), digest_size=8).hexdigest()
        if "live" in parameters:
            return f'<!doctype html><meta charset=utf-8><main data-version="{version}">{main}</main>', version
        return self._templates.get_template("base.html").render(given, main=main, version=version), version

    @staticmethod
    def _html_response(request: Request, status: HTTPStatus, html: str) -> Response:
        return _secured(compressed(request, text_response(html, status, "text/html; charset=utf-8")))


def _asset_response(request: Request, asset: Asset) -> Response:
    zipped = request.accept_encodings["gzip"] > 0
    response = text_response(asset.compressed if zipped else asset.content, 200, asset.content_type)
    response.headers["Cache-Control"] = _FOR_EVER
    if zipped:
        response.content_encoding = "gzip"
    return response


def _secured(response: Response) -> Response:
    for name, value in SECURITY.items():
        response.headers[name] = value
    return response


def _quoted(path: str) -> str:
    """A path on this host. Two slashes at its beginning would name another host."""
    return "/" + quote(path).lstrip("/") if path else ""


def _nothing_new() -> Response:
    response = _secured(text_response("", HTTPStatus.NO_CONTENT))
    # An empty answer has no content type (RFC 9110, section 8.6).
    del response.headers["Content-Type"]
    return response
