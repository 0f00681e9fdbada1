"""Access to the page: for a developer on this machine, or with the token."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from flask import Flask
from werkzeug.wrappers import Request, Response

from otelflask._internal import guard
from otelflask._internal.endpoints import access
from otelflask._internal.settings import SettingError, Settings

COOKIE = "otelflask_monitor"
PARAMETER = "token"

#: Called with the WSGI environ. Returns whether the visitor may see the page.
MayMonitor = Callable[[dict[str, Any]], bool]


class Gate:
    """Decides about each request.

    Args:
        app: The app.
        settings: Its settings.
        may_monitor: The user's function, or None.

    Raises:
        SettingError: The page is on, and nobody could see it.
    """

    def __init__(self, app: Flask, settings: Settings, may_monitor: MayMonitor | None) -> None:
        if settings.monitor == "on" and not settings.monitor_token and may_monitor is None:
            raise SettingError(
                "monitor (OTELFLASK_MONITOR) is 'on', and nobody could see the page; allowed is to set monitor_token "
                "(OTELFLASK_MONITOR_TOKEN) or init(may_monitor=function) too, or monitor='auto'"
            )
        if settings.monitor == "auto" and (settings.monitor_token or may_monitor is not None):
            what = "monitor_token" if settings.monitor_token else "may_monitor"
            guard.log(f"gate:{app.name}", "%s is not used, because monitor is 'auto': set monitor='on'", what)
        self._settings = settings
        self._may_monitor = may_monitor
        self.is_on = bool(settings.monitor_path) and (
            settings.monitor == "on" or (settings.monitor == "auto" and access.is_development(app, settings))
        )

    def admits(self, request: Request) -> bool:
        """Whether the visitor may see the page."""
        if self._settings.monitor == "auto":
            return access.is_local(request)
        if self._may_monitor is not None and guard.call_hook("hook `may_monitor`", self._may_monitor, request.environ):
            return True
        token = self._settings.monitor_token
        if not token:
            return False
        # Parsed here: Werkzeug also reads malformed cookies of other apps on this host, and may miss ours.
        return access.is_same(
            request.cookies.get(COOKIE, "").encode("utf-8", "replace"), _stands_for(token)
        ) or access.has_token(request, token)

    def admits_by_url(self, request: Request) -> bool:
        """Whether the URL has the token, which gives the cookie once."""
        token = self._settings.monitor_token
        # Not by Werkzeug, which raises for bytes that are not UTF-8.
        given = parse_qs(request.environ.get("QUERY_STRING", "")).get(PARAMETER, [""])[-1]
        return (
            self._settings.monitor == "on" and bool(token) and access.is_same(given.encode("utf-8", "replace"), token)
        )

    def set_cookie(self, request: Request, response: Response, path: str) -> None:
        """Set the cookie. It is not the token itself, because cookies are sent to every port of a host.

        It is Lax, so that a link from a chat leads to the page: no request changes anything, and the page
        cannot be framed.
        """
        value = _stands_for(self._settings.monitor_token)
        response.set_cookie(COOKIE, value, path=path, httponly=True, samesite="Lax", secure=request.is_secure)


def _stands_for(token: str) -> str:
    return hmac.new(token.encode(), b"otelflask monitor cookie", hashlib.sha256).hexdigest()
