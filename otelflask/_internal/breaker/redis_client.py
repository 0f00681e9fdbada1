"""A redis that answers soon, or is left alone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otelflask._internal import guard
from otelflask._internal.settings import SettingError

T = TypeVar("T")

#: Seconds that a call waits for a redis that hangs, and for which it is left alone then: by all breakers together.
TIMEOUT_S = 0.2
PAUSE_S = 5.0


class SharedRedis:
    """A client of redis. In: its URL. Raises SettingError for one that is none, and where redis-py is missing."""

    def __init__(self, url: str) -> None:
        try:
            from redis import Redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry

            # Without its default retries, of which a redis that hangs costs twelve seconds.
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
        # Whatever the URL says: answers are read as bytes.
        self._client.connection_pool.connection_kwargs["decode_responses"] = False
        self._away_until = 0.0

    def script(self, text: str) -> Any:
        """A script of Lua, to be called in `ask`."""
        return self._client.register_script(text)

    def ask(self, question: Callable[[Any], T], instead: Callable[[], T]) -> T:
        """What `question(client)` returns; where redis does not answer, or did not just now, what `instead` does."""
        if time.monotonic() < self._away_until:
            return instead()

        def away(error: Exception) -> T:
            # Not asked again at once: each call would wait for it.
            self._away_until = time.monotonic() + PAUSE_S
            guard.say("breaker", "redis does not answer, circuit breakers are this process's own: %s", error)
            return instead()

        # No spans of what a breaker itself asks.
        with suppress_instrumentation():
            return guard.attempt(question, self._client, instead=away)
