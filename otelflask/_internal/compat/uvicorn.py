"""uvicorn: the end of its server. Source: ``uvicorn.server.Server``."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable
from typing import Any

#: The module of the server.
SERVER = "uvicorn.server"


def is_own(handler: Any) -> bool:
    """Whether a signal's handler is that of a server."""
    return getattr(handler, "__module__", None) == SERVER


def after_serving(action: Callable[[], None]) -> None:
    """Call a function when a server that got SIGTERM has answered its last request.

    It raises SIGTERM again, with the handler from before the import of the app. A new process has none.
    """
    from uvicorn.server import Server  # type: ignore[import-not-found, unused-ignore]

    original: Callable[..., Any] = Server.shutdown

    @functools.wraps(original)
    async def shutdown(self: Any, *arguments: Any, **options: Any) -> Any:
        done = await original(self, *arguments, **options)
        # Versions before 0.29 do not raise it again.
        if signal.SIGTERM in getattr(self, "_captured_signals", ()):
            action()
        return done

    Server.shutdown = shutdown  # type: ignore[method-assign, unused-ignore]
