"""Celery's jobs that run in this process: in a child of the prefork pool, or with any other pool."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from celery import signals

from otelflask._internal import attribute_names, clock, guard
from otelflask._internal.instrumentation.jobs import origin
from otelflask._internal.instrumentation.jobs.job import Ended, Job, Outcome, Result
from otelflask._internal.instrumentation.jobs.run import Run
from otelflask._internal.instrumentation.jobs.runs import Runs

_ID = "otelflask-tasks"
#: The attribute of a task's request that has its run.
_RUN = "_otelflask_run"
_RESULTS: dict[str | None, Result] = {
    "SUCCESS": "success",
    "RETRY": "retry",
    "IGNORED": "ignored",
    "REJECTED": "rejected",
}


def observe(runs: Runs, joins: bool) -> Callable[[], None]:
    """Record each run of a task.

    Args:
        runs: Where they are recorded.
        joins: Whether a run belongs to the trace of what asked for it.

    Returns:
        A function that undoes it.
    """
    tasks = _Tasks(runs, joins)
    receivers = (
        (signals.task_prerun, tasks.begin),
        (signals.task_failure, tasks.fail),
        (signals.task_postrun, tasks.end),
        (signals.task_revoked, tasks.revoke),
    )
    for signal, receiver in receivers:
        signal.connect(receiver, weak=False, dispatch_uid=_ID)

    def undo() -> None:
        for signal, _ in receivers:
            signal.disconnect(dispatch_uid=_ID)

    return undo


class _Tasks:
    def __init__(self, runs: Runs, joins: bool) -> None:
        self._runs = runs
        self._joins = joins

    @guard.guarded("beginning a task")
    def begin(self, task: Any = None, **signal: Any) -> None:
        request = task.request
        job = job_of(task.name, vars(request))
        where = None if request.is_eager else origin.read(vars(request), self._joins)
        setattr(request, _RUN, Run(self._runs, job, where))

    @guard.guarded("reading the failure of a task")
    def fail(self, sender: Any = None, exception: Any = None, **signal: Any) -> None:
        run = getattr(sender.request, _RUN, None)
        if run is not None:
            # The signal's exception may be one that can be pickled, in place of the real one.
            error = sys.exc_info()[1] or exception
            run.note(Outcome("failure", error, is_reported=not isinstance(error, tuple(sender.throws or ()))))

    @guard.guarded("ending a task")
    def end(self, task: Any = None, state: str | None = None, retval: Any = None, **signal: Any) -> None:
        run = task.request.__dict__.pop(_RUN, None)
        if run is None:
            return
        result = _RESULTS.get(state)
        if result is not None:
            # `Retry` has the exception that is the reason.
            run.note(Outcome(result, getattr(retval, "exc", None) if result == "retry" else None))
        elif state != "FAILURE":
            run.note(_outcome_of(sys.exc_info()[1]))
        run.end()

    @guard.guarded("counting a revoked task")
    def revoke(self, sender: Any = None, request: Any = None, terminated: bool = False, **signal: Any) -> None:
        # The pool knows of one that was running.
        if not terminated:
            where = origin.read(vars(request), self._joins)
            self._runs.count_missed(Ended(job_of(sender.name, vars(request)), "revoked", 0.0, span=where.asked))


def _outcome_of(error: BaseException | None) -> Outcome:
    """The end of a run that something else than an `Exception` has ended."""
    if type(error).__name__ == "GreenletExit":
        # `revoke(terminate=True)` with gevent's pool.
        return Outcome("revoked")
    return Outcome("failure", error, is_reported=not isinstance(error, (SystemExit, KeyboardInterrupt)))


def job_of(name: str, headers: Mapping[str, Any]) -> Job:
    """The job of a task's headers.

    Args:
        name: The task's name.
        headers: The headers of its message.
    """
    attributes: dict[str, Any] = {
        "messaging.system": "celery",
        attribute_names.JOB_RETRIES: headers.get("retries") or 0,
    }
    if headers.get("id"):
        attributes["messaging.message.id"] = headers["id"]
    queue = (headers.get("delivery_info") or {}).get("routing_key")
    if queue:
        attributes["messaging.destination.name"] = queue
    return Job("celery", name, attributes, guard.attempt(_waited, headers, on_error=lambda error: None))


def _waited(headers: Mapping[str, Any]) -> float | None:
    """Seconds since a task was due: since it was sent, or since its countdown."""
    sent = origin.sent_at(headers)
    eta = headers.get("eta")
    if eta:
        sent = max(sent or 0.0, datetime.fromisoformat(eta).timestamp())
    return None if sent is None else max(0.0, clock.time_ns() / 1e9 - sent)
