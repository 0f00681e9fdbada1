"""Who may see the page: a developer at the same machine, or who has the token."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from flask import Flask

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
        self.is_on = settings.monitor == "on" or (settings.monitor == "auto" and access.is_development(app, settings))

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
        """The Set-Cookie header's value: not the token itself, since cookies are sent to every port of a host."""
        value = _stands_for(self._settings.monitor_token)
        return f"{COOKIE}={value}; Path={path}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"

    @staticmethod
    def _has_cookie(environ: dict[str, Any], token: str) -> bool:
        try:
            morsel = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and access.is_same(morsel.value, _stands_for(token))


def _stands_for(token: str) -> str:
    return hmac.new(token.encode(), b"otelflask monitor cookie", hashlib.sha256).hexdigest()
