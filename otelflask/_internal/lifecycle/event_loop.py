"""Whether a thread runs an event loop of asyncio."""

from __future__ import annotations

import sys


def is_running() -> bool:
    """Whether this thread runs one. `asyncio` is not imported for it."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
