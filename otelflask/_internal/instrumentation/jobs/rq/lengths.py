"""The lengths of the queues of an RQ worker."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rq.worker import BaseWorker

from otelflask._internal import guard
from otelflask._internal.instrumentation.jobs.queue_lengths import QueueLengths
from otelflask._internal.patches import replace


def observe(lengths: QueueLengths) -> Callable[[], None]:
    """Measure the queues of each worker that begins.

    Returns:
        A function that undoes it.
    """
    original = BaseWorker.work

    @functools.wraps(original)
    def work(self: BaseWorker, *arguments: Any, **options: Any) -> Any:
        with guard.log_errors("queues", "the queues of a worker are not measured"):
            lengths.watch("rq", lambda: {queue.name: queue.count for queue in self.queues})
        try:
            return original(self, *arguments, **options)
        finally:
            lengths.forget()

    return replace(BaseWorker, "work", work)
