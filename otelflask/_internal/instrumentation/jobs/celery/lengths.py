"""The lengths of the queues of a Celery worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import Celery, signals

from otelflask._internal import guard
from otelflask._internal.instrumentation.jobs.queue_lengths import QueueLengths

_ID = "otelflask-queues"


def observe(lengths: QueueLengths) -> Callable[[], None]:
    """Measure the queues of this process's worker, once it has begun.

    Returns:
        A function that undoes it.
    """

    @guard.guarded("beginning to measure queues")
    def begin(sender: Any = None, **signal: Any) -> None:
        lengths.watch("celery", lambda: _lengths_of(sender.app))

    signals.worker_ready.connect(begin, weak=False, dispatch_uid=_ID)
    return lambda: signals.worker_ready.disconnect(dispatch_uid=_ID)


def _lengths_of(app: Celery) -> dict[str, int]:
    # A connection of its own: the worker's belongs to its thread.
    with app.connection_for_read() as connection:
        return {name: _length_of(connection, name) for name in app.amqp.queues.consume_from}


def _length_of(connection: Any, name: str) -> int:
    try:
        # A refusal closes the channel.
        with connection.channel() as channel:
            return int(channel.queue_declare(queue=name, passive=True).message_count)
    except connection.channel_errors:
        # Redis has no empty lists.
        return 0
