"""A redis client that answers soon, or pauses."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otelflask._internal import guard
from otelflask._internal.settings import SettingError

T = TypeVar("T")

#: Seconds that a call waits for redis, and seconds of pause, for all breakers, after it did not answer.
TIMEOUT_S = 0.2
PAUSE_S = 5.0


class SharedRedis:
    """A redis client for all breakers of a process.

    Args:
        url: The URL of the redis server.

    Raises:
        SettingError: The URL is invalid, or redis-py is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            from redis import Redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry

            # No retries: with redis-py's defaults, a redis that hangs costs twelve seconds.
            self._client = Redis.from_url(
                url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)
            )
        except ImportError:
            raise SettingError("breaker_redis needs redis-py: pip install redis") from None
        except ValueError as error:
            raise SettingError(
                f"breaker_redis (OTELFLASK_BREAKER_REDIS) is not allowed: {error}; allowed is a URL such as "
                "redis://127.0.0.1:6379/0"
            ) from None
        # Answers are read as bytes, whatever the URL says.
        self._client.connection_pool.connection_kwargs["decode_responses"] = False
        self._away_until = 0.0

    def script(self, text: str) -> Any:
        """Register a Lua script, to be called within `ask`."""
        return self._client.register_script(text)

    def ask(self, command: Callable[[Any], T], instead: Callable[[], T]) -> T:
        """Return `command(client)`, or `instead()` where redis does not answer or is paused."""
        if time.monotonic() < self._away_until:
            return instead()

        def away(error: Exception) -> T:
            # Pause: otherwise each call would wait for redis.
            self._away_until = time.monotonic() + PAUSE_S
            guard.log("breaker", "redis does not answer; circuit breakers use the state of this process: %s", error)
            return instead()

        # The breakers' own commands leave no spans.
        with suppress_instrumentation():
            return guard.attempt(command, self._client, on_error=away)
