"""RQ's workers: they count the runs of their work horses, also of one that is killed.

A work horse is a process for one job. It writes the span and the error report, and hands the end of
the run over by a pipe. So each run counts once, whatever becomes of the horse, and metrics have a
series for each worker and none for each job.
"""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from rq import worker as rq_worker
from rq.job import Job as RqJob
from rq.worker import BaseWorker, SimpleWorker, Worker

from otelflask._internal import clock, guard
from otelflask._internal.exceptions.attributes import exception_type
from otelflask._internal.instrumentation.jobs.job import Ended, JobLostError, Result
from otelflask._internal.instrumentation.jobs.rq.runs import job_of, origin_of
from otelflask._internal.instrumentation.jobs.run import taker
from otelflask._internal.instrumentation.jobs.runs import Runs
from otelflask._internal.patches import all_of, replace

#: Workers that do not fork.
_OTHERS: tuple[type[BaseWorker], ...] = tuple(
    kind for kind in (SimpleWorker, getattr(rq_worker, "SpawnWorker", None)) if kind is not None
)
#: The most bytes that a pipe takes at once.
_PIPE_SIZE = 60_000


def observe(runs: Runs, joins: bool, end: Callable[[], None]) -> Callable[[], None]:
    """Count the runs of work horses, and end their telemetry before they exit.

    Args:
        runs: Where they are counted.
        joins: Whether a run belongs to the trace of what asked for it.
        end: Ends the telemetry of a process that exits by itself.

    Returns:
        A function that undoes it.
    """
    execute, owner = Worker.execute_job, _owner_of("perform_job")
    perform = owner.perform_job

    @functools.wraps(execute)
    def execute_job(self: Worker, job: RqJob, queue: Any) -> Any:
        horse = None if isinstance(self, _OTHERS) else guard.attempt(_Horse, runs, job, on_error=lambda error: None)
        if horse is None:
            return execute(self, job, queue)
        token = _current_horse.set(horse)
        try:
            return execute(self, job, queue)
        finally:
            _current_horse.reset(token)
            horse.count(job, joins)

    @functools.wraps(perform)
    def perform_job(self: BaseWorker, *arguments: Any, **options: Any) -> Any:
        if not self.is_horse:
            return perform(self, *arguments, **options)
        horse = _current_horse.get()
        ended: list[Ended] = []
        # One that was not forked counts by itself.
        token = taker.set(ended.append if horse is not None else None)
        try:
            return perform(self, *arguments, **options)
        finally:
            taker.reset(token)
            if horse is not None and horse.is_orphan:
                for each in ended:
                    runs.count(each)
            end()
            if horse is not None:
                horse.hand_over(ended)

    return all_of([replace(Worker, "execute_job", execute_job), replace(owner, "perform_job", perform_job)])


def _owner_of(method: str) -> type[BaseWorker]:
    """The class that has a method. It is not the same in each version."""
    return next(kind for kind in Worker.__mro__ if method in vars(kind))


class _Horse:
    """A work horse: a process for one run.

    Args:
        runs: Where the run is counted.
        job: What is run.
    """

    def __init__(self, runs: Runs, job: RqJob) -> None:
        self._runs = runs
        self._job = job_of(job)
        self._worker = os.getpid()
        self._began = clock.perf_counter_ns()
        self._output, self._input = os.pipe()
        # Neither side waits for the other.
        os.set_blocking(self._output, False)
        os.set_blocking(self._input, False)
        runs.begin(self._job)

    @property
    def is_orphan(self) -> bool:
        """Whether the worker has ended before its horse, which goes on."""
        return os.getppid() != self._worker

    @guard.guarded("handing over the end of a job")
    def hand_over(self, ended: list[Ended]) -> None:
        """Write the ends of the horse's runs: that of its job is the last."""
        data = pickle.dumps(ended)
        os.write(self._input, data if len(data) <= _PIPE_SIZE else pickle.dumps(ended[-1:]))

    @guard.guarded("counting a job")
    def count(self, job: RqJob, joins: bool) -> None:
        """Count the run, once the horse has ended."""
        self._runs.leave(self._job)
        ended = self._read()
        if ended is None:
            self._count_lost(job, joins)
            return
        for each in ended:
            self._runs.count(each)

    def _read(self) -> list[Ended] | None:
        try:
            return pickle.loads(os.read(self._output, _PIPE_SIZE))  # type: ignore[no-any-return]
        except BlockingIOError:
            return None
        finally:
            os.close(self._output)
            os.close(self._input)

    def _count_lost(self, job: RqJob, joins: bool) -> None:
        seconds = (clock.perf_counter_ns() - self._began) / 1e9
        asked = origin_of(job, joins).asked
        if guard.attempt(job.get_status, False, on_error=lambda error: None) == "stopped":
            self._runs.count(Ended(self._job, "revoked", seconds, span=asked))
            return
        error = JobLostError(f"the work horse of {self._job.name} was killed")
        result: Result = "lost"
        self._runs.count_lost(Ended(self._job, result, seconds, exception_type(error), span=asked), error)


#: The work horse that this worker waits for, or that this process is.
_current_horse: ContextVar[_Horse | None] = ContextVar("otelflask_horse", default=None)
