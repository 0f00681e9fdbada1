"""Begin the instrumentation of Celery."""

from __future__ import annotations

import functools
from collections.abc import Callable

from celery import signals

from otelflask._internal import guard
from otelflask._internal.compat.otel_instrumentation import replace_instrumentor
from otelflask._internal.import_hooks import Cancel, when_imported
from otelflask._internal.instrumentation.jobs.celery import lengths, publish, tasks
from otelflask._internal.instrumentation.jobs.queue_lengths import QueueLengths
from otelflask._internal.instrumentation.jobs.runs import Runs

_ID = "otelflask-end"


def instrument(runs: Runs, queue_lengths: QueueLengths, joins: bool, end: Callable[[], None]) -> list[Cancel]:
    """Record the jobs that this process sends and runs, in place of OpenTelemetry's instrumentation.

    Args:
        runs: Where they are recorded.
        queue_lengths: Looks at the queues of a worker.
        joins: Whether a run belongs to the trace of what asked for it.
        end: Ends the telemetry of a process that exits by itself.

    Returns:
        Functions that undo it.
    """

    @guard.guarded("ending a Celery process")
    def ends(**values: object) -> None:
        # The process ends by os._exit, so that what waits would not be sent (contrib#4916).
        end()

    signals.worker_process_shutdown.connect(ends, weak=False, dispatch_uid=_ID)
    undo: list[Cancel] = [
        publish.observe(runs),
        tasks.observe(runs, joins),
        lengths.observe(queue_lengths),
        functools.partial(signals.worker_process_shutdown.disconnect, dispatch_uid=_ID),
    ]

    def prefork() -> None:
        # Here, because it needs billiard's processes.
        from otelflask._internal.instrumentation.jobs.celery import pool

        undo.append(pool.observe(runs, joins, tasks.job_of))

    def contrib() -> None:
        from opentelemetry.instrumentation.celery import CeleryInstrumentor

        undo.append(replace_instrumentor(CeleryInstrumentor))

    undo.append(when_imported("celery.concurrency.prefork", prefork))
    undo.append(when_imported("opentelemetry.instrumentation.celery", contrib))
    return undo
