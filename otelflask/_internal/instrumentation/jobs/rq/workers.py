"""RQ's workers: they count the runs of their work horses, also of one that is killed.

A work horse is a process for one job. It writes the span and the error report, and hands the end of
the run over by a pipe. So each run counts once, whatever becomes of the horse, and metrics have a
series for each worker and none for each job.
"""

from __future__ import annotations

import functools
import os
import pickle
import select
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from rq import worker as rq_worker
from rq.job import Job as RqJob
from rq.worker import BaseWorker, SimpleWorker, Worker

from otelflask._internal import clock, guard
from otelflask._internal.exceptions.attributes import exception_type
from otelflask._internal.instrumentation.jobs.job import Ended, JobLostError
from otelflask._internal.instrumentation.jobs.rq.runs import job_of, origin_of
from otelflask._internal.instrumentation.jobs.run import taker
from otelflask._internal.instrumentation.jobs.runs import Runs
from otelflask._internal.lifecycle.ending import FORKED_END_S
from otelflask._internal.patches import all_of, owner_of, replace

#: Workers that do not fork.
_OTHERS: tuple[type[BaseWorker], ...] = tuple(
    kind for kind in (SimpleWorker, getattr(rq_worker, "SpawnWorker", None)) if kind is not None
)

#: The most bytes that are read of a horse.
_MOST = 65_536


def observe(runs: Runs, joins: bool, end: Callable[[float | None], None]) -> Callable[[], None]:
    """Count the runs of work horses, and end their telemetry before they exit.

    Args:
        runs: Where they are counted.
        joins: Whether a run belongs to the trace of what asked for it.
        end: Ends the telemetry of a process that exits by itself, within so many seconds.

    Returns:
        A function that undoes it.
    """
    # It is not in the same class in each version.
    owner: Any = owner_of(Worker, "perform_job")
    execute, perform = Worker.execute_job, owner.perform_job

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
            # RQ forgets the process of a horse that has ended.
            horse.count(job, joins, has_ended=not self.horse_pid)

    @functools.wraps(perform)
    def perform_job(self: BaseWorker, *arguments: Any, **options: Any) -> Any:
        if not self.is_horse:
            return perform(self, *arguments, **options)
        horse = _current_horse.get()
        if horse is not None:
            horse.begin()
        ended: list[Ended] = []
        # One that was not forked counts by itself.
        token = taker.set(ended.append if horse is not None else None)
        try:
            return perform(self, *arguments, **options)
        finally:
            taker.reset(token)
            if horse is not None:
                horse.hand_over(ended)
            # Briefly: the worker waits.
            end(FORKED_END_S)

    return all_of([replace(Worker, "execute_job", execute_job), replace(owner, "perform_job", perform_job)])


class _Horse:
    """A work horse: a process for one run.

    Args:
        runs: Where the run is counted.
        job: What is run.
    """

    def __init__(self, runs: Runs, job: RqJob) -> None:
        self._runs = runs
        self._job = job_of(job)
        self._began = clock.perf_counter_ns()
        self._output, self._input = os.pipe()
        # Neither side waits for the other.
        os.set_blocking(self._output, False)
        os.set_blocking(self._input, False)
        runs.begin(self._job)

    @guard.guarded("beginning a work horse")
    def begin(self) -> None:
        """Leave the other end of the pipe to the worker, in the horse."""
        os.close(self._output)

    @guard.guarded("handing over the end of a job")
    def hand_over(self, ended: list[Ended]) -> None:
        """Write the ends of the horse's runs: that of its job is the last. Count them where nobody reads any more."""
        data = pickle.dumps(ended)
        try:
            # At once, or not at all.
            os.write(self._input, data if len(data) <= select.PIPE_BUF else pickle.dumps(ended[-1:]))
        except BrokenPipeError:
            for each in ended:
                self._runs.count(each)

    @guard.guarded("counting a job")
    def count(self, job: RqJob, joins: bool, has_ended: bool) -> None:
        """Count the run. A horse that goes on without its worker counts by itself."""
        self._runs.leave(self._job)
        ended = self._read()
        if ended is None and has_ended:
            self._count_lost(job, joins)
        for each in ended or ():
            self._runs.count(each)

    def _read(self) -> list[Ended] | None:
        try:
            return pickle.loads(os.read(self._output, _MOST))  # type: ignore[no-any-return]
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
        self._runs.count_lost(Ended(self._job, "lost", seconds, exception_type(error), span=asked), error)


#: The work horse that this worker waits for, or that this process is.
_current_horse: ContextVar[_Horse | None] = ContextVar("otelflask_horse", default=None)
