"""billiard, the processes of Celery: what their pool has not read. Source: ``billiard.pool.Pool``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from billiard.pool import READY


def unread_results(pool: Any) -> Iterator[Any]:
    """The results of a pool's processes that nobody has read: whether a task has returned, and what.

    Args:
        pool: A pool that reads without blocking. Its processes have ended.
    """
    for process in pool._pool:
        reader = process.outq._reader
        # The last may be incomplete: BlockingIOError.
        with contextlib.suppress(OSError, EOFError):
            while not reader.closed and reader.poll(0):
                state, arguments = reader.recv()
                if state == READY:
                    yield arguments[2]
