"""Celery's prefork pool: the worker counts the runs of its processes, also of one that is killed.

A process of the pool writes the span and the error report. It hands the end of the run over with the
result. So each run counts once, whatever becomes of its process, and metrics have a series for each
worker and none for each of its processes.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import Terminated, WorkerLostError
from celery.concurrency.prefork import TaskPool
from celery.exceptions import Reject

from otelflask._internal import clock, guard
from otelflask._internal.exceptions.attributes import exception_type
from otelflask._internal.instrumentation.jobs import origin
from otelflask._internal.instrumentation.jobs.celery import results
from otelflask._internal.instrumentation.jobs.job import Ended, Job, Result
from otelflask._internal.instrumentation.jobs.runs import Runs
from otelflask._internal.patches import all_of, replace

#: What Celery gives the pool with each task.
_CALLBACKS = frozenset({"accept_callback", "callback", "error_callback"})
JobOf = Callable[[str, Mapping[str, Any]], Job]


def observe(runs: Runs, joins: bool, job_of: JobOf) -> Callable[[], None]:
    """Count the runs of each prefork pool.

    Args:
        runs: Where they are counted.
        joins: Whether a run belongs to the trace of what asked for it.
        job_of: The job of a task's name and headers.

    Returns:
        A function that undoes it.
    """
    original = TaskPool.apply_async
    forgotten = results.Forgotten(runs.count_all)
    numbers = itertools.count()

    @functools.wraps(original)
    def apply_async(self: TaskPool, target: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        is_task = getattr(target, "__module__", "") == "celery.app.trace" and options.keys() >= _CALLBACKS
        pooled = guard.attempt(_Pooled, runs, joins, job_of, args, on_error=lambda error: None) if is_task else None
        if pooled is None:
            return original(self, target, args, kwargs, **options)
        number = next(numbers)
        result = original(self, results.run, (target, number, *args), kwargs, **options | pooled.callbacks(options))
        forgotten.number(result, number)
        return result

    return all_of((replace(TaskPool, "apply_async", apply_async), results.observe(forgotten)))


class _Pooled:
    """A task that the pool has, from the worker's side."""

    def __init__(self, runs: Runs, joins: bool, job_of: JobOf, arguments: Any) -> None:
        self._runs = runs
        self._joins = joins
        self._job_of = job_of
        self._name, _, self._headers, *_ = arguments
        self._job: Job | None = None
        self._began = 0

    def callbacks(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Callbacks of the pool that call those that are known."""

        def accepted(pid: Any, at: Any) -> Any:
            self._accept()
            return known["accept_callback"](pid, at)

        def succeeded(value: results.Handed) -> Any:
            self._end(value.ended)
            return known["callback"](value.result)

        def failed(info: Any, **more: Any) -> Any:
            self._fail(info)
            return known["error_callback"](info, **more)

        return {"accept_callback": accepted, "callback": succeeded, "error_callback": failed}

    @guard.guarded("counting a task that begins")
    def _accept(self) -> None:
        self._began = clock.perf_counter_ns()
        self._job = self._job_of(self._name, self._headers)
        self._runs.begin(self._job)

    @guard.guarded("counting a task that has ended")
    def _end(self, ended: list[Ended]) -> None:
        job, self._job = self._job, None
        if job is not None:
            self._runs.leave(job)
        self._runs.count_all(ended)

    @guard.guarded("counting a task whose process has ended")
    def _fail(self, info: Any) -> None:
        job, self._job = self._job, None
        if job is None:
            return
        error = info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        result: Result = "failure"
        if isinstance(error, Terminated):
            result = "revoked"
        elif isinstance(error, Reject):
            result = "rejected"
        elif isinstance(error, (WorkerLostError, SystemExit, KeyboardInterrupt)):
            result = "lost"
        where = origin.read(self._headers, self._joins)
        seconds = (clock.perf_counter_ns() - self._began) / 1e9
        self._runs.leave(job)
        self._runs.count_lost(Ended(job, result, seconds, exception_type(error), span=where.asked), error)
