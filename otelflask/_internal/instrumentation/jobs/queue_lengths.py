"""The lengths of the queues from which a worker takes jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Observation

from otelflask._internal import attribute_names, clock
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.lifecycle import forks
from otelflask._internal.lifecycle.background_task import BackgroundTask
from otelflask._internal.version import __version__

#: Seconds between two looks at the queues, and the age in seconds from which a length says nothing.
INTERVAL_S = 15.0
_MAX_AGE_S = 60.0


class QueueLengths:
    """Looks at the queues of this process's worker, in a thread, because a broker may not answer.

    Args:
        pipeline: Where the lengths are measured.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._task = BackgroundTask("job-queues", self._look, work_at_end=False)
        self.after_fork()
        forks.on_fork(self)
        pipeline.meter_provider.get_meter("otelflask.jobs", __version__).create_observable_gauge(
            "otelflask.job.queue.length",
            callbacks=[self._observe],
            unit="{job}",
            description="Jobs that wait in the queues of a worker.",
        )

    def after_fork(self) -> None:
        """Look at nothing: the parent does."""
        self._task.after_fork()
        self._system = ""
        self._measure: Callable[[], Mapping[str, int]] = dict
        self._found: Mapping[str, int] = {}
        self._found_at = 0.0

    def watch(self, system: str, measure: Callable[[], Mapping[str, int]]) -> None:
        """Begin to look at the queues of a worker.

        Args:
            system: What runs the jobs.
            measure: Returns the length of each queue.
        """
        self._system, self._measure = system, measure
        self._task.start()

    def forget(self) -> None:
        """Look at nothing any more: the worker has ended."""
        self._measure, self._found = dict, {}

    def end(self) -> None:
        """End the thread."""
        self._task.begin_close(time.monotonic())

    def _look(self) -> float:
        self._found, self._found_at = self._measure(), clock.monotonic()
        return INTERVAL_S

    def _observe(self, options: CallbackOptions) -> Iterable[Observation]:
        if clock.monotonic() - self._found_at > _MAX_AGE_S:
            return
        for name, length in self._found.items():
            labels = {attribute_names.JOB_SYSTEM: self._system, "messaging.destination.name": name}
            yield Observation(length, labels)
