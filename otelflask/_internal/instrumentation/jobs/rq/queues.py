"""RQ's jobs that are sent: a span each, and in the job's `meta` what asked for it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rq import Queue
from rq.job import Job as RqJob

from otelflask._internal import guard
from otelflask._internal.instrumentation.jobs import origin
from otelflask._internal.instrumentation.jobs.runs import Runs
from otelflask._internal.instrumentation.jobs.sending import Sending
from otelflask._internal.patches import all_of, replace

#: The key in a job's `meta`.
META_KEY = "otelflask"
#: The header with the job's name. A worker would have to read the job's arguments for it.
NAME = "otelflask-job-name"
#: The header with the number of further runs that a job had when it was sent.
RETRIES = "otelflask-retries"


def observe(runs: Runs) -> Callable[[], None]:
    """Record each job that is sent.

    Args:
        runs: Where it is recorded.

    Returns:
        A function that undoes it.
    """
    create = Queue.create_job

    @functools.wraps(create)
    def create_job(self: Queue, *arguments: Any, **options: Any) -> RqJob:
        job = create(self, *arguments, **options)
        # Also of `enqueue_many`, which sends many with one call.
        _write(job)
        return job

    return all_of(
        [
            replace(Queue, "create_job", create_job),
            replace(Queue, "enqueue_job", _within_span(runs, Queue.enqueue_job)),
            replace(Queue, "schedule_job", _within_span(runs, Queue.schedule_job, _is_repeated)),
        ]
    )


def _is_repeated(job: RqJob) -> bool:
    """Whether RQ itself schedules the next run of a job that has run."""
    return META_KEY in job.meta and job.enqueued_at is not None


def _within_span(
    runs: Runs, original: Callable[..., Any], is_left_alone: Callable[[RqJob], bool] = lambda job: False
) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(self: Queue, job: RqJob, *arguments: Any, **options: Any) -> Any:
        if guard.attempt(is_left_alone, job, on_error=lambda error: False):
            return original(self, job, *arguments, **options)
        sending = guard.attempt(_begin, runs, self, job, on_error=lambda error: None)
        if sending is None:
            return original(self, job, *arguments, **options)
        try:
            return original(self, job, *arguments, **options)
        except BaseException as error:
            sending.fail(error)
            raise
        finally:
            sending.end()

    return send


def _begin(runs: Runs, queue: Queue, job: RqJob) -> Sending:
    details = {"messaging.destination.name": queue.name, "messaging.message.id": job.id}
    sending = Sending(runs.tracer, "rq", name_of(job), details)
    sending.enter()
    _write(job)
    return sending


@guard.guarded("writing what asks for a job")
def _write(job: RqJob) -> None:
    headers = {NAME: name_of(job)}
    origin.write(headers)
    if job.retries_left:
        headers[RETRIES] = str(job.retries_left)
    # A new one: the app may send the same `meta` with many jobs.
    job.meta = {**job.meta, META_KEY: headers}


def name_of(job: RqJob) -> str:
    """The name of a job's function. Its description would have the arguments."""
    known = job.meta.get(META_KEY)
    if isinstance(known, dict) and isinstance(known.get(NAME), str):
        return str(known[NAME])
    return guard.attempt(lambda: str(job.func_name), on_error=lambda error: "unknown")
