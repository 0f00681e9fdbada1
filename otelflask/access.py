"""Who asks: whether a request bears a token, or comes from this machine."""

from __future__ import annotations

import base64
import hmac
import ipaddress
from typing import Any

from flask import Flask

from otelflask.settings import Settings

#: Set by proxies: the peer is then not who asks.
_FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP", "HTTP_VIA")


def bears(environ: dict[str, Any], token: str) -> bool:
    """Whether the request has ``Authorization: Bearer TOKEN``, or Basic with the token as its password (a browser)."""
    given = environ.get("HTTP_AUTHORIZATION", "")
    scheme, _, credentials = given.partition(" ")
    if scheme.lower() == "basic":
        try:
            password = base64.b64decode(credentials, validate=True).decode("latin-1").partition(":")[2]
        except ValueError:
            return False
        return is_same(password, token)
    return is_same(given, f"Bearer {token}")


def is_same(given: str, token: str) -> bool:
    """Whether a header's value is the token; takes the same time for every wrong one."""
    return hmac.compare_digest(given.encode("latin-1", "replace"), token.encode())


def is_development(app: Flask, settings: Settings) -> bool:
    """Whether the app runs in debug mode, or in the environment ``development``."""
    return app.debug or settings.environment == "development"


def is_local(environ: dict[str, Any]) -> bool:
    """Whether the request comes from this machine, for a name of this machine, and through no proxy.

    A Host of another name would be a page in somebody's browser that was led here (DNS rebinding).
    """
    if any(environ.get(name) for name in _FORWARDED):
        return False
    host = environ.get("HTTP_HOST", "")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return _is_loopback(environ.get("REMOTE_ADDR", "")) and (name == "localhost" or _is_loopback(name.strip("[]")))


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
        # A server that listens on IPv6 sees an IPv4 peer as ::ffff:127.0.0.1.
        return (getattr(found, "ipv4_mapped", None) or found).is_loopback
    except ValueError:
        return False
