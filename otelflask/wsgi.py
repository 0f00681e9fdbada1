"""WSGI's types, and an answer that is given in front of the app."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
Headers = Iterable[tuple[str, str]]


def respond(
    environ: dict[str, Any],
    start_response: StartResponse,
    status: str,
    body: bytes,
    content_type: str,
    headers: Headers = (),
    cache: str = "no-store",
) -> list[bytes]:
    """Answer a GET or a HEAD. In: a status such as ``200 OK``; further headers; who may keep a copy."""
    start_response(
        status,
        [
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", cache),
            *headers,
        ],
    )
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]
