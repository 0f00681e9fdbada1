"""Jobs of APScheduler (version 3), and so of Flask-APScheduler."""

from __future__ import annotations

import functools
import sys
from collections import OrderedDict
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from inspect import iscoroutinefunction
from typing import Any

import wrapt
from apscheduler.events import EVENT_JOB_MISSED
from apscheduler.executors import base
from apscheduler.executors.base import BaseExecutor, MaxInstancesReachedError
from apscheduler.schedulers.base import BaseScheduler
from apscheduler.triggers.date import DateTrigger
from opentelemetry.trace import SpanKind

from otelflask._internal import attribute_names, clock, guard
from otelflask._internal.instrumentation.jobs import origin
from otelflask._internal.instrumentation.jobs.job import Ended, Job, Outcome
from otelflask._internal.instrumentation.jobs.run import Run
from otelflask._internal.instrumentation.jobs.runs import Runs
from otelflask._internal.patches import all_of, replace

#: The most jobs of which it is kept what has added them.
_MAX_ADDED = 10_000
_PACKAGE = "apscheduler.executors."


def observe(runs: Runs, joins: bool) -> Callable[[], None]:
    """Record each run of a job, and each that is missed.

    Args:
        runs: Where they are recorded.
        joins: Whether the run of a job that runs once belongs to the trace of what has added it.

    Returns:
        A function that undoes it.
    """
    scheduled = _Scheduled(runs, joins)
    add, submit = BaseScheduler.add_job, BaseExecutor.submit_job

    @functools.wraps(add)
    def add_job(self: BaseScheduler, *arguments: Any, **options: Any) -> Any:
        job = add(self, *arguments, **options)
        scheduled.added(job)
        return job

    @functools.wraps(submit)
    def submit_job(self: BaseExecutor, job: Any, run_times: Collection[datetime]) -> None:
        try:
            submit(self, job, run_times)
        except MaxInstancesReachedError:
            scheduled.missed(job, len(run_times))
            raise

    return all_of(
        [
            replace(BaseScheduler, "add_job", add_job),
            replace(BaseExecutor, "submit_job", submit_job),
            *_replace_everywhere("run_job", scheduled.around(base.run_job)),
            *_replace_everywhere("run_coroutine_job", scheduled.around_coroutine(base.run_coroutine_job)),
        ]
    )


def _replace_everywhere(name: str, wrapped: Callable[..., Any]) -> list[Callable[[], None]]:
    """Replace a function in the modules of executors. Those that are imported later import what is there by then."""
    original = getattr(base, name)
    modules = [module for key, module in list(sys.modules.items()) if key.startswith(_PACKAGE)]
    return [replace(module, name, wrapped) for module in modules if getattr(module, name, None) is original]


class _Scheduled:
    def __init__(self, runs: Runs, joins: bool) -> None:
        self._runs = runs
        self._joins = joins
        #: What has added a job that runs once, by the job's id. Schedulers may keep the job itself in a database.
        self._added: OrderedDict[str, dict[str, str]] = OrderedDict()

    @guard.guarded("reading a job that is added")
    def added(self, job: Any) -> None:
        """Keep what adds a job that runs once. The runs of others belong to nobody."""
        headers: dict[str, str] = {}
        if isinstance(job.trigger, DateTrigger):
            origin.write(headers)
            self._added[job.id] = headers
            if len(self._added) > _MAX_ADDED:
                self._added.popitem(last=False)

    @guard.guarded("counting a job that is missed")
    def missed(self, job: Any, count: int) -> None:
        """Count runs that do not take place."""
        for _ in range(count):
            self._runs.count_missed(Ended(_job_of(job, None), "missed", 0.0))

    def around(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """APScheduler's function that runs a job at the times that have come, with a run for each."""

        @functools.wraps(original)
        def run_job(job: Any, jobstore_alias: str, run_times: list[datetime], logger_name: str) -> Any:
            events = original(self._observed(job, run_times), jobstore_alias, run_times, logger_name)
            self.missed(job, _missed_in(events))
            return events

        return run_job

    def around_coroutine(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The same for coroutines."""

        @functools.wraps(original)
        async def run_coroutine_job(job: Any, jobstore_alias: str, run_times: list[datetime], logger_name: str) -> Any:
            events = await original(self._observed(job, run_times), jobstore_alias, run_times, logger_name)
            self.missed(job, _missed_in(events))
            return events

        return run_coroutine_job

    def _observed(self, job: Any, run_times: list[datetime]) -> Any:
        return _ObservedJob(job, functools.partial(self._begin, job, list(run_times)))

    def _begin(self, job: Any, left: list[datetime]) -> Run:
        headers = self._added.pop(job.id, {})
        where = origin.read(headers, self._joins)._replace(kind=SpanKind.INTERNAL)
        return Run(self._runs, _job_of(job, _next_of(job, left)), where)


def _missed_in(events: Any) -> int:
    return sum(event.code == EVENT_JOB_MISSED for event in events)


def _next_of(job: Any, left: list[datetime]) -> datetime:
    """The time of the run that begins now. APScheduler does not run a job for times that are too long ago."""
    grace = job.misfire_grace_time
    while len(left) > 1 and grace is not None and clock.now() - left[0] > timedelta(seconds=grace):
        left.pop(0)
    return left.pop(0) if len(left) > 1 else left[0]


def _job_of(job: Any, due: datetime | None) -> Job:
    # A name that the app gives may have a number of each order in it.
    name = str(job.func_ref or job.name).replace(":", ".")
    waited = None if due is None else max(0.0, (clock.now() - due).total_seconds())
    return Job("apscheduler", name, {attribute_names.JOB_ID: job.id}, waited)


class _ObservedJob(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """A job whose function is recorded.

    Args:
        job: The job.
        begin: Begins a run.
    """

    def __init__(self, job: Any, begin: Callable[[], Run]) -> None:
        super().__init__(job)
        self._self_begin = begin

    @property
    def func(self) -> Callable[..., Any]:
        """The job's function, which records each call."""
        original, begin = self.__wrapped__.func, self._self_begin
        return _recorded_coroutine(original, begin) if iscoroutinefunction(original) else _recorded(original, begin)


def _recorded(original: Callable[..., Any], begin: Callable[[], Run]) -> Callable[..., Any]:
    @functools.wraps(original)
    def run(*arguments: Any, **options: Any) -> Any:
        current = guard.attempt(begin, on_error=lambda error: None)
        if current is None:
            return original(*arguments, **options)
        try:
            return original(*arguments, **options)
        except BaseException as error:
            current.note(Outcome("failure", error, is_reported=True))
            raise
        finally:
            current.end()

    return run


def _recorded_coroutine(original: Callable[..., Any], begin: Callable[[], Run]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def run(*arguments: Any, **options: Any) -> Any:
        current = guard.attempt(begin, on_error=lambda error: None)
        if current is None:
            return await original(*arguments, **options)
        try:
            return await original(*arguments, **options)
        except BaseException as error:
            current.note(Outcome("failure", error, is_reported=True))
            raise
        finally:
            current.end()

    return run
