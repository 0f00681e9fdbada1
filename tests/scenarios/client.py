"""The client of the scenarios: its requests, and what it sees, as plain values."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask import Flask

Answer = dict[str, Any]

#: Ids of callers, which are recorded as they are.
CALLERS_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLERS_SPAN = "00f067aa0ba902b7"
CALLERS_PARENT = f"00-{CALLERS_TRACE}-{CALLERS_SPAN}-01"
TOKEN = "8a0bd3fc72ff"
#: The longest body, in characters, that is recorded whole.
LONGEST_BODY = 2_000
#: Headers that do not depend on the app.
_LEFT_OUT = frozenset({"date", "server", "connection"})


@dataclass
class World:
    """What a step acts on.

    Attributes:
        ports: Ports by name (`shop`, `stock`, `nested`).
        run_job: Runs a script in a process of its own.
        settle: Waits until the servers handle no request.
        notes: What one step leaves for another.
    """

    app: Flask
    ports: dict[str, int]
    run_job: Callable[[], Answer]
    settle: Callable[[], None]
    notes: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        of: str = "shop",
    ) -> Answer:
        """Send a request over a new connection, and return what is seen of the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[of], timeout=30)
        try:
            connection.request(method, path, body, {"User-Agent": "scenarios/1", **(headers or {})})
            return seen(connection.getresponse())
        finally:
            connection.close()
            # Spans and lines of a request end after the client has its response.
            self.settle()

    def ask_and_leave(self, path: str, first: int) -> Answer:
        """Read the first bytes of a response, and close the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["shop"], timeout=30)
        connection.request("GET", path, headers={"User-Agent": "scenarios/1"})
        response = connection.getresponse()
        piece = response.read(first)
        response.close()
        connection.close()
        return {"status": response.status, "first piece": piece.decode()}


def seen(response: http.client.HTTPResponse) -> Answer:
    """Status, headers and body of an answer."""
    try:
        body, ended = response.read(), "whole"
    except http.client.IncompleteRead as error:
        body, ended = error.partial, "torn"
    answer: Answer = {
        "status": response.status,
        "headers": sorted([name, value] for name, value in response.getheaders() if name.lower() not in _LEFT_OUT),
        "body": _shown(body, response.headers.get_content_type()),
    }
    return answer if ended == "whole" else {**answer, "ended": ended}


def _shown(body: bytes, content_type: str) -> Any:
    text = body.decode("utf-8", "backslashreplace")
    if "json" in content_type and text:
        return json.loads(text)
    is_view = content_type == "text/html" and "<main" in text
    return text if len(text) <= LONGEST_BODY or is_view or "# TYPE" in text else f"{len(text)} characters"


def bearer(token: str) -> dict[str, str]:
    """The header with a token."""
    return {"Authorization": f"Bearer {token}"}


def basic(name: str, password: str) -> dict[str, str]:
    """The header with a name and a password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
