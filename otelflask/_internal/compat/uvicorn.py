"""uvicorn: the end of its server. Source: ``uvicorn.server.Server``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

#: The module of the server.
SERVER = "uvicorn.server"


def after_serving(action: Callable[[], None]) -> None:
    """Call a function when a server has answered its last request, before it raises its signal again.

    It restores the signal's handler from before the import of the app, and that of a new process is none.
    """
    from uvicorn.server import Server  # type: ignore[import-not-found, unused-ignore]

    original: Callable[..., Any] = Server.shutdown

    @functools.wraps(original)
    async def shutdown(self: Any, *arguments: Any, **options: Any) -> Any:
        done = await original(self, *arguments, **options)
        action()
        return done

    Server.shutdown = shutdown  # type: ignore[method-assign, unused-ignore]
