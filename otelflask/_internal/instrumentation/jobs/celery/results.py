"""The way of a run's end from a process of Celery's prefork pool to the worker, and what is lost on it.

A worker that ends, or that has lost its broker, forgets the tasks that no process has accepted yet: the broker
delivers them again (``AsynPool.flush``). A process that has got one by then runs it all the same. The worker drops
its result, or does not even read it where it waits for no other task.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from billiard.pool import ApplyResult
from celery.concurrency.asynpool import AsynPool

from otelflask._internal import guard
from otelflask._internal.compat.billiard import is_given, readers_of, unread_results
from otelflask._internal.instrumentation.jobs.job import Ended
from otelflask._internal.instrumentation.jobs.run import taker
from otelflask._internal.patches import all_of, replace

#: The most forgotten tasks that are remembered. At a time, each process has one or a few.
_KEPT = 1000
#: The attribute of a pool's task that has its number.
_NUMBER = "_otelflask_number"


class Handed(NamedTuple):
    """What a process of the pool gives to the worker.

    Attributes:
        result: The result of the task.
        number: The number that the worker has given to the task.
        ended: The ends of the runs in it: one, none where Celery knows that an earlier delivery has succeeded, more
            where the task has run others.
    """

    result: Any
    number: int
    ended: list[Ended]


def run(target: Callable[..., Any], number: int, *arguments: Any) -> Handed:
    """Run a task in a process of the pool."""
    ended: list[Ended] = []
    token = taker.set(ended.append)
    try:
        return Handed(target(*arguments), number, ended)
    finally:
        taker.reset(token)


class Forgotten:
    """The tasks that the worker has forgotten.

    Args:
        count: Counts runs that have ended.
    """

    def __init__(self, count: Callable[[list[Ended]], object]) -> None:
        self._count = count
        self._numbers: deque[int] = deque(maxlen=_KEPT)

    @guard.guarded("numbering a task of the pool")
    def number(self, task: ApplyResult | None, number: int) -> None:
        """Give a task of the pool its number. A pool that ends takes none."""
        if task is not None:
            setattr(task, _NUMBER, number)

    @guard.guarded("remembering a task that the worker forgets")
    def add(self, task: ApplyResult) -> None:
        """Remember a task that the pool forgets."""
        number = getattr(task, _NUMBER, None)
        # What no process has got does not run.
        if number is not None and is_given(task):
            self._numbers.append(number)

    @guard.guarded("counting a task that the worker has forgotten")
    def count(self, value: tuple[bool, Any]) -> None:
        """Count the runs of a task, if the worker has forgotten it.

        Args:
            value: Whether the task has returned, and what.
        """
        _, handed = value
        if isinstance(handed, Handed) and handed.number in self._numbers:
            self._numbers.remove(handed.number)
            self._count(handed.ended)

    def count_unread(self, reader: Any) -> None:
        """Count the runs whose results were not read, of a process that has ended."""
        # The last message may not be whole.
        guard.attempt(self._count_all_of, reader, on_error=lambda error: None)

    def _count_all_of(self, reader: Any) -> None:
        for value in unread_results(reader):
            self.count(value)


def observe(forgotten: Forgotten) -> Callable[[], None]:
    """Count the runs of forgotten tasks.

    Args:
        forgotten: The tasks that the worker has forgotten.

    Returns:
        A function that undoes it.
    """
    discard, on_ready = ApplyResult.discard, AsynPool.on_job_ready

    @functools.wraps(discard)
    def forget(self: ApplyResult) -> Any:
        forgotten.add(self)
        return discard(self)

    @functools.wraps(on_ready)
    def on_job_ready(self: AsynPool, job: Any, i: Any, value: Any, descriptor: Any) -> Any:
        forgotten.count(value)
        return on_ready(self, job, i, value, descriptor)

    def reading_the_rest(end: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(end)
        def ending(self: AsynPool, *arguments: Any, **options: Any) -> Any:
            # Before, because the pool forgets processes that have ended.
            readers = guard.attempt(readers_of, self, on_error=lambda error: [])
            ended = end(self, *arguments, **options)
            for reader in readers:
                forgotten.count_unread(reader)
            return ended

        return ending

    return all_of(
        (
            replace(ApplyResult, "discard", forget),
            replace(AsynPool, "on_job_ready", on_job_ready),
            # A warm and a cold shutdown.
            replace(AsynPool, "join", reading_the_rest(AsynPool.join)),
            replace(AsynPool, "terminate", reading_the_rest(AsynPool.terminate)),
        )
    )
