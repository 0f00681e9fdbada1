"""A metric reader that collects periodically, outside of the app's threads."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from opentelemetry.sdk.metrics.export import MetricReader, MetricsData

from otelflask._internal import guard
from otelflask._internal.lifecycle.background_task import BackgroundTask


class PeriodicReader(MetricReader):
    """Collects at an interval, in a thread of its own, and passes the metrics on.

    Unlike the SDK's periodic reader it never exports in the caller's thread, its shutdown takes no
    longer than its timeout, and it survives a fork.

    Args:
        deliver: Takes the metrics.
        send: Waits until the delivered metrics are sent, for so many seconds, and returns whether they
            were.
        interval: Seconds.
        preferred_temporality: Temporality by kind of instrument.
        preferred_aggregation: Aggregation by kind of instrument.

    Attributes:
        interval: Seconds.
    """

    def __init__(
        self,
        deliver: Callable[[MetricsData], None],
        send: Callable[[float], bool],
        interval: float,
        preferred_temporality: dict[type, Any] | None,
        preferred_aggregation: dict[type, Any] | None,
    ) -> None:
        super().__init__(preferred_temporality=preferred_temporality, preferred_aggregation=preferred_aggregation)
        self._deliver = deliver
        self._send = send
        self.interval = interval
        self._task = BackgroundTask("collect", self._work, interval, work_at_end=False)

    def start(self) -> None:
        """Start collecting, also again after a fork."""
        self._task.after_fork(start=True)

    def _work(self) -> float:
        self.collect_safely()
        return self.interval

    def collect_safely(self) -> None:
        """Collect now. An exception, such as one of a callback of the app, is logged."""
        with guard.log_errors("collect", "a metric cannot be collected"):
            self.collect()

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        self._deliver(metrics_data)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        deadline = monotonic() + timeout_millis / 1000
        self.collect_safely()
        return self._send(max(0.0, deadline - monotonic()))

    def stop(self) -> None:
        """Collect never again."""
        self._task.begin_close(monotonic())

    def collect_last(self) -> None:
        """Collect once more, and never again."""
        if self._task.closing_at is None:
            self.stop()
            self.collect_safely()

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        deadline = monotonic() + timeout_millis / 1000
        self.collect_last()
        self._send(max(0.0, deadline - monotonic()))
