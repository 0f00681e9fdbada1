"""Who may see the page: a developer at the same machine, or who has the token."""

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

#: Asked with the WSGI environ; whether who asks may see the page.
MayMonitor = Callable[[dict[str, Any]], bool]


class Gate:
    """Decides of each request. In: the app, its settings, and a function of the user's, or None.

    Raises SettingError where the page is on and nobody could see it.
    """

    def __init__(self, app: Flask, settings: Settings, may_monitor: MayMonitor | None) -> None:
        if settings.monitor == "on" and not settings.monitor_token and may_monitor is None:
            raise SettingError(
                "monitor (OTELFLASK_MONITOR) is 'on', and nobody could see the page; allowed is to set monitor_token "
                "(OTELFLASK_MONITOR_TOKEN) or init(may_monitor=function) too, or monitor='auto'"
            )
        self._settings = settings
        self._may_monitor = may_monitor
        self.is_on = bool(settings.monitor_path) and (
            settings.monitor == "on" or (settings.monitor == "auto" and access.is_development(app, settings))
        )

    def admits(self, request: Request) -> bool:
        """Whether who asks may see the page."""
        if self._settings.monitor == "auto":
            return access.is_local(request)
        if self._may_monitor is not None and guard.call_hook("may_monitor", self._may_monitor, request.environ):
            return True
        token = self._settings.monitor_token
        if not token:
            return False
        # Werkzeug reads cookies that are not well formed, of other apps on this host, past which ours stands.
        return access.is_same(
            request.cookies.get(COOKIE, "").encode("utf-8", "replace"), _stands_for(token)
        ) or access.bears(request, token)

    def admits_by_url(self, request: Request) -> bool:
        """Whether the URL has the token: once, to get the cookie."""
        token = self._settings.monitor_token
        # Not Werkzeug's, which raises for bytes that are no UTF-8.
        given = parse_qs(request.environ.get("QUERY_STRING", "")).get(PARAMETER, [""])[-1]
        return (
            self._settings.monitor == "on" and bool(token) and access.is_same(given.encode("utf-8", "replace"), token)
        )

    def set_cookie(self, request: Request, response: Response, path: str) -> None:
        """Give the cookie: not the token itself, since cookies are sent to every port of a host.

        Lax, so that a link from a chat leads to the page: no request changes anything, and nobody may frame it.
        """
        value = _stands_for(self._settings.monitor_token)
        response.set_cookie(COOKIE, value, path=path, httponly=True, samesite="Lax", secure=request.is_secure)


def _stands_for(token: str) -> str:
    return hmac.new(token.encode(), b"otelflask monitor cookie", hashlib.sha256).hexdigest()
