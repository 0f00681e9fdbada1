"""billiard, the processes of Celery: what their pool has given them, and not read. Source: ``billiard.pool.Pool``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from billiard.pool import READY


def is_given(task: Any) -> bool:
    """Whether a process of the pool has got a task, or a part of it (``billiard.pool.ApplyResult``)."""
    return task._write_to is not None or task._scheduled_for is not None


def readers_of(pool: Any) -> list[Any]:
    """The ends of the pipes on which a pool hears of its processes. It reads them without blocking."""
    return [process.outq._reader for process in pool._pool]


def unread_results(reader: Any) -> Iterator[Any]:
    """The results of a process that has ended: whether a task has returned, and what.

    Raises:
        Exception: A message is not whole, or cannot be read.
    """
    while not reader.closed and reader.poll(0):
        message = reader.recv()
        if message is None:
            return
        state, arguments = message
        if state == READY:
            yield arguments[2]
