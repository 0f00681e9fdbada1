"""Requests to the shop, each with a serial number that is searched for in every backend."""

from __future__ import annotations

import http.client
import random
import string
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Sent:
    """A request with its answer."""

    serial: str
    status: int
    trace_id: str


def request(
    base: str, path: str, serial: str | None = None, *, method: str = "GET", body: str | None = None, **more: str
) -> Sent:
    """Send a request with a serial number as `X-Request-ID`. `more` are headers, with `_` for `-`."""
    serial = serial or run_name("single")
    address = urllib.parse.urlsplit(base).netloc
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        headers = {"X-Request-ID": serial, **{name.replace("_", "-"): value for name, value in more.items()}}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        answer.read()
        # 00-<trace id>-<span id>-<flags>
        return Sent(serial, answer.status, (answer.getheader("traceresponse") or "--").split("-")[1])
    finally:
        connection.close()


def run_name(prefix: str) -> str:
    """The name of a run, in letters: with digits, the collector would take some serials for card numbers."""
    return f"{prefix}-{''.join(random.choices(string.ascii_lowercase, k=8))}"


def requests(base: str, path: str, count: int, run: str) -> list[Sent]:
    """`count` requests, one after the other, with serials ``<run>-<number>``."""
    return [request(base, path, f"{run}-{number:05d}") for number in range(count)]


def missing(sent: Iterable[Sent], found: Iterable[str]) -> str:
    """How many serials were sent and not found, with the first and the last of them; empty for none."""
    serials = {item.serial for item in sent}
    lacking = sorted(serials - set(found))
    return f"{len(lacking)} of {len(serials)}, from {lacking[0]} to {lacking[-1]}" if lacking else ""
