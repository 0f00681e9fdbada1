"""Begin and end the instrumentation of jobs and commands, once in a process."""

from __future__ import annotations

from collections.abc import Callable

from otelflask._internal import guard
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.import_hooks import Cancel, when_imported
from otelflask._internal.instrumentation.jobs import commands
from otelflask._internal.instrumentation.jobs.queue_lengths import QueueLengths
from otelflask._internal.instrumentation.jobs.runs import Runs
from otelflask._internal.lifecycle.blocked_signals import signals_blocked
from otelflask._internal.settings import Settings
from otelflask._internal.settings.libraries import is_disabled

#: Functions that undo it.
_undo: list[Cancel] = []


def instrument(
    pipeline: Pipeline, settings: Settings, end: Callable[[float | None], None], on_run: Callable[[], object]
) -> None:
    """Record the runs of jobs and commands. A second call changes nothing.

    Args:
        pipeline: Where their telemetry goes.
        settings: The settings.
        end: Ends the telemetry of a process that exits by itself, within so many seconds (None: `shutdown_timeout`).
        on_run: Called when a job begins.
    """
    if _undo:
        return
    runs, lengths = Runs(pipeline, on_run), QueueLengths(pipeline)
    _undo.append(lengths.end)
    joins = settings.job_traces == "parent"

    @guard.guarded("ending a process that runs jobs")
    def end_undisturbed(timeout: float | None = None) -> None:
        # A process of a pool ends by itself, while its parent may tell it to.
        with signals_blocked():
            end(timeout)

    def celery() -> None:
        # Each of these is imported here, because it imports the library.
        from otelflask._internal.instrumentation.jobs.celery.instrument import instrument

        _undo.extend(instrument(runs, lengths, joins, end_undisturbed))

    def rq() -> None:
        from otelflask._internal.instrumentation.jobs.rq import late_start, queues, workers
        from otelflask._internal.instrumentation.jobs.rq import lengths as rq_lengths
        from otelflask._internal.instrumentation.jobs.rq import runs as rq_runs

        _undo.extend(
            [queues.observe(runs), rq_runs.observe(runs, joins), workers.observe(runs, joins, end_undisturbed)]
        )
        _undo.extend([late_start.observe(runs, joins, end_undisturbed), rq_lengths.observe(lengths)])

    def apscheduler() -> None:
        from otelflask._internal.instrumentation.jobs import apscheduler

        _undo.append(apscheduler.observe(runs, joins))

    # The names are OpenTelemetry's, where it has one.
    if not is_disabled("click"):
        excluded = {name.strip() for name in settings.excluded_commands.split(",")}
        _undo.append(commands.observe(runs, excluded))
    if not is_disabled("celery"):
        _undo.append(when_imported("celery", celery))
    if not is_disabled("rq"):
        _undo.append(when_imported("rq", rq))
    if not is_disabled("apscheduler"):
        _undo.append(when_imported("apscheduler.schedulers.base", apscheduler))


def uninstrument() -> None:
    """Undo `instrument`, for tests."""
    while _undo:
        _undo.pop()()
