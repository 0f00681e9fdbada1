"""RQ's jobs that run in this process: a work horse, a simple worker, or a queue without workers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timezone
from typing import Any

from rq import Retry
from rq.job import Job as RqJob

from otelflask._internal import attribute_names, clock, guard
from otelflask._internal.instrumentation.jobs import origin
from otelflask._internal.instrumentation.jobs.job import Job, Outcome
from otelflask._internal.instrumentation.jobs.origin import Origin
from otelflask._internal.instrumentation.jobs.rq.queues import META_KEY, RETRIES, name_of
from otelflask._internal.instrumentation.jobs.run import Run
from otelflask._internal.instrumentation.jobs.runs import Runs
from otelflask._internal.patches import replace


def observe(runs: Runs, joins: bool) -> Callable[[], None]:
    """Record each run of a job.

    Args:
        runs: Where they are recorded.
        joins: Whether a run belongs to the trace of what asked for it.

    Returns:
        A function that undoes it.
    """
    original = RqJob.perform

    @functools.wraps(original)
    def perform(self: RqJob) -> Any:
        run = guard.attempt(begin, runs, joins, self, on_error=lambda error: None)
        if run is None:
            return original(self)
        try:
            result = original(self)
        except BaseException as error:
            run.note(outcome_of(self, error))
            raise
        else:
            run.note(_outcome_of_result(self, result))
            return result
        finally:
            run.end()

    return replace(RqJob, "perform", perform)


def begin(runs: Runs, joins: bool, job: RqJob) -> Run:
    """Begin a run.

    Args:
        runs: Where it is recorded.
        joins: Whether it belongs to the trace of what asked for it.
        job: What is run.
    """
    return Run(runs, job_of(job), origin_of(job, joins))


def outcome_of(job: RqJob, error: BaseException | None) -> Outcome:
    """The end of a run that has not returned `Retry`, by the exception that has ended it."""
    if error is None:
        return Outcome()
    # A queue without workers runs a job once.
    if job.retries_left and job.worker_name != "sync":
        return Outcome("retry", error)
    return Outcome("failure", error, is_reported=True)


def _outcome_of_result(job: RqJob, result: Any) -> Outcome:
    if not isinstance(result, Retry):
        return Outcome()
    return Outcome("retry" if _results_before(job) < result.max else "failure")


def _results_before(job: RqJob) -> int:
    """How often the job has asked by its result to be tried again. RQ counts it from 2.1 on."""
    return getattr(job, "number_of_retries", None) or 0


def origin_of(job: RqJob, joins: bool) -> Origin:
    """Where a run comes from.

    Args:
        job: What is run.
        joins: Whether the run belongs to the trace of what asked for it.
    """
    return origin.read(_headers(job), joins)


def job_of(job: RqJob) -> Job:
    """The job as telemetry has it."""
    attributes: dict[str, Any] = {
        "messaging.system": "rq",
        "messaging.destination.name": job.origin,
        "messaging.message.id": job.id,
    }
    retries = _headers(job).get(RETRIES)
    # Jobs count down, and those that ask for it by their result count up.
    before = int(retries) - (job.retries_left or 0) if retries else _results_before(job)
    attributes[attribute_names.JOB_RETRIES] = before
    return Job("rq", name_of(job), attributes, _waited(job))


def _headers(job: RqJob) -> dict[str, Any]:
    found = job.meta.get(META_KEY)
    return found if isinstance(found, dict) else {}


def _waited(job: RqJob) -> float | None:
    """Seconds since the job came into its queue, which for a scheduled one is when it was due."""
    at = job.enqueued_at
    if at is None:
        return None
    # Before RQ 2 without a zone.
    at = at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)
    return max(0.0, clock.time_ns() / 1e9 - at.timestamp())
