"""Who may see the page: a developer at the same machine, or who has the token."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from flask import Flask
from werkzeug.http import parse_cookie

from otelflask import access, guard
from otelflask.settings import SettingError, Settings

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

    def admits(self, environ: dict[str, Any]) -> bool:
        """Whether who asks may see the page."""
        if self._settings.monitor == "auto":
            return access.is_local(environ)
        if self._may_monitor is not None and guard.call_hook("may_monitor", self._may_monitor, environ):
            return True
        token = self._settings.monitor_token
        return bool(token) and (self._has_cookie(environ, token) or access.bears(environ, token))

    def admits_by_url(self, environ: dict[str, Any]) -> bool:
        """Whether the URL has the token: once, to get the cookie."""
        token = self._settings.monitor_token
        given = parse_qs(environ.get("QUERY_STRING", "")).get(PARAMETER, [""])[-1]
        return self._settings.monitor == "on" and bool(token) and access.is_same(given, token)

    def cookie(self, path: str, secure: bool) -> str:
        """The Set-Cookie header's value: not the token itself, since cookies are sent to every port of a host.

        Lax, so that a link from a chat leads to the page: no request changes anything, and nobody may frame it.
        """
        value = _stands_for(self._settings.monitor_token)
        return f"{COOKIE}={value}; Path={path}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"

    @staticmethod
    def _has_cookie(environ: dict[str, Any], token: str) -> bool:
        given = environ.get("HTTP_COOKIE", "").encode("ascii", "ignore").decode()
        # Werkzeug's: one that is not well formed, of another app on this host, must not hide ours.
        return access.is_same(parse_cookie(given).get(COOKIE, ""), _stands_for(token))


def _stands_for(token: str) -> str:
    return hmac.new(token.encode(), b"otelflask monitor cookie", hashlib.sha256).hexdigest()
