"""Checks of an app's databases, redis and collector, and of the machine's disk and memory."""

from __future__ import annotations

import asyncio
import os
import socket
import urllib.parse
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import psutil
from opentelemetry.instrumentation.utils import suppress_instrumentation

from otelflask._internal.health.checks import Check, Degraded

#: The use of a disk or of memory, in percent, at which a check warns.
FULL_PERCENT = 90.0


def database(name: str, engine: Any) -> Check:
    """A check of an SQLAlchemy engine: whether it has a connection that answers. It does not keep the engine alive."""
    made_for = weakref.ref(engine)

    def ask() -> None:
        engine = made_for()
        if engine is None:
            return
        # No span and no duration, because the statement belongs to no request.
        with suppress_instrumentation():
            if engine.dialect.is_async:
                asyncio.run(_ask_async(engine))
            else:
                _ask(engine)

    return Check(f"database:{name}", ask)


def _ask(engine: Any) -> None:
    from sqlalchemy import text

    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))


async def _ask_async(engine: Any) -> None:
    """Ask over a connection of its own: those of the pool belong to the app's event loop."""
    from sqlalchemy.util import greenlet_spawn

    pool = engine.pool.recreate()

    def ping() -> None:
        connection = pool.connect()
        try:
            engine.dialect.do_ping(connection.dbapi_connection)
        finally:
            connection.close()
            pool.dispose()

    await greenlet_spawn(ping)


def redis(url: str) -> Check:
    """A check of the redis at this URL."""

    def ask() -> None:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # No retries: with redis-py's defaults, a redis that hangs costs twelve seconds.
        with (
            suppress_instrumentation(),
            Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0)) as client,
        ):
            client.ping()

    return Check("redis", ask)


def collectors(endpoints: Iterable[str]) -> list[Check]:
    """A check of each collector's port. It is only shown: the app works without a collector."""
    places = set()
    for endpoint in endpoints:
        parts = urllib.parse.urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
        places.add((parts.hostname or "localhost", parts.port or (443 if parts.scheme == "https" else 80)))
    return [_collector(host, port) for host, port in sorted(places)]


def _collector(host: str, port: int) -> Check:
    def ask() -> None:
        socket.create_connection((host, port), timeout=0.5).close()

    return Check(f"collector:{host}:{port}", ask, critical=False, is_shown_only=True)


def _machine(name: str, used: Callable[[], float]) -> Check:
    def ask() -> float:
        percent = used()
        if percent >= FULL_PERCENT:
            raise Degraded(f"{percent:.0f} % used")
        return percent

    return Check(name, ask, critical=False, unit="percent")


def machine() -> Iterable[Check]:
    """Checks of the disk's and the memory's use."""
    yield _machine("disk_space", lambda: float(psutil.disk_usage(os.getcwd()).percent))
    yield _machine("memory", lambda: float(psutil.virtual_memory().percent))
