"""A job of RQ that is running when telemetry starts: its module has just called `init`.

``rq worker`` imports the app in the work horse, with each job. So this is each job of such a worker.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from rq import get_current_job
from rq.worker import BaseWorker, Worker

from otelflask._internal import guard
from otelflask._internal.instrumentation.jobs.rq.runs import begin, outcome_of
from otelflask._internal.instrumentation.jobs.runs import Runs
from otelflask._internal.lifecycle.ending import FORKED_END_S
from otelflask._internal.patches import owner_of, replace


def observe(runs: Runs, joins: bool, end: Callable[[float | None], None]) -> Callable[[], None]:
    """Record the job that is running, where there is one.

    Args:
        runs: Where it is recorded.
        joins: Whether its run belongs to the trace of what asked for it.
        end: Ends the telemetry of a process that exits by itself, within so many seconds.

    Returns:
        A function that undoes it.
    """
    job = guard.attempt(get_current_job, on_error=lambda error: None)
    # It is not in the same class in each version, and in old ones it is not there.
    owner: Any = owner_of(Worker, "handle_execution_ended")
    if job is None or owner is None:
        return lambda: None
    run = begin(runs, joins, job)
    original = owner.handle_execution_ended

    @functools.wraps(original)
    def handle_execution_ended(self: BaseWorker, *arguments: Any, **options: Any) -> Any:
        undo()
        # It is called within `except` where the job has failed.
        run.note(outcome_of(job, sys.exc_info()[1]))
        run.end()
        if self.is_horse:
            # Briefly: the result of the job is not stored yet.
            end(FORKED_END_S)
        return original(self, *arguments, **options)

    undo = replace(owner, "handle_execution_ended", handle_execution_ended)
    return undo
