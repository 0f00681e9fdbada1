"""Who asks: whether a request bears a token, or comes from this machine."""

from __future__ import annotations

import hmac
import ipaddress

from flask import Flask
from werkzeug.wrappers import Request

from otelflask.settings import Settings

#: Set by proxies: the peer is then not who asks.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def bears(request: Request, token: str) -> bool:
    """Whether the request has ``Authorization: Bearer TOKEN``, or Basic with the token as its password (a browser)."""
    given = request.authorization
    if given is None:
        return False
    return is_same((given.password if given.type == "basic" else given.token) or "", token)


def is_same(given: str, token: str) -> bool:
    """Whether what is given is the token; takes the same time for every wrong one."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def is_development(app: Flask, settings: Settings) -> bool:
    """Whether the app runs in debug mode, or in the environment ``development``."""
    return app.debug or settings.environment == "development"


def is_local(request: Request) -> bool:
    """Whether the request comes from this machine, for a name of this machine, and through no proxy.

    A Host of another name would be a page in somebody's browser that was led here (DNS rebinding).
    """
    if any(request.headers.get(name) for name in _FORWARDED):
        return False
    host = request.headers.get("Host", "")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return _is_loopback(request.remote_addr or "") and (name == "localhost" or _is_loopback(name.strip("[]")))


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
        # A server that listens on IPv6 sees an IPv4 peer as ::ffff:127.0.0.1.
        return (getattr(found, "ipv4_mapped", None) or found).is_loopback
    except ValueError:
        return False
