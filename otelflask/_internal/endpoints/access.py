"""Access control: whether a request has a token, or comes from this machine."""

from __future__ import annotations

import base64
import hmac
import ipaddress

from flask import Flask
from werkzeug.wrappers import Request

from otelflask._internal.settings import Settings

#: Headers of proxies: with one of them, the peer is not the client.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def has_token(request: Request, token: str) -> bool:
    """Whether the request has ``Authorization: Bearer TOKEN``, or Basic with the token as password (browsers)."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    sent = _sent(given.strip())
    if scheme.lower() == "bearer":
        return is_same(sent, token)
    if scheme.lower() != "basic":
        return False
    try:
        return is_same(base64.b64decode(sent, validate=True).partition(b":")[2], token)
    except ValueError:
        return False


def has_header(request: Request, name: str, token: str) -> bool:
    """Whether a header's value is the token."""
    return is_same(_sent(request.headers.get(name, "")), token)


def _sent(value: str) -> bytes:
    """A header as bytes. WSGI carries them as Latin-1 (PEP 3333)."""
    return value.encode("latin-1", "replace")


def is_same(given: bytes, token: str) -> bool:
    """Whether this is the token. Takes the same time for each wrong one."""
    return hmac.compare_digest(given, token.encode())


def is_development(app: Flask, settings: Settings) -> bool:
    """Whether the app is in debug mode, or the environment is ``development``."""
    return app.debug or settings.is_development


def is_local(request: Request) -> bool:
    """Whether the request comes from this machine, by a local host name, and through no proxy.

    With another Host, a page in somebody's browser may have been led here (DNS rebinding).
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
