"""The meter provider: the SDK's. It never raises into the app, and flushes all of its readers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from time import monotonic
from typing import Any

from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk import metrics as sdk_metrics
from opentelemetry.sdk.metrics.export import MetricReader

from otelflask._internal import guard
from otelflask._internal.compat.otel_metrics import ClearedMeterProvider
from otelflask._internal.sdk.meter import Meter
from otelflask._internal.sdk.user_parts import flushed, provided


class MeterProvider(ClearedMeterProvider):
    """The SDK's meter provider with a cardinality limit. In a forked child its sums start at zero.

    Args:
        metric_readers: The readers.
        cap: The most attribute sets of a metric.
        **options: Arguments of the SDK's provider.
    """

    def __init__(self, *, metric_readers: Sequence[MetricReader], cap: int = 2_000, **options: Any) -> None:
        super().__init__(metric_readers=metric_readers, cap=cap, overflowed=_say_overflowed, **options)
        self._later: list[MetricReader] = []

    def get_meter(self, *arguments: Any, **options: Any) -> Any:
        make = functools.partial(super().get_meter, *arguments, **options)
        return provided(make, sdk_metrics.Meter, Meter, NoOpMeter(""))

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Collect and send now.

        Returns:
            Whether every reader was in time. The SDK's own method does not ask the readers.
        """
        deadline = monotonic() + timeout_millis / 1000
        done = [self._flushed(reader, (deadline - monotonic()) * 1000) for reader in self.readers]
        return all(done)

    def add_metric_reader(self, metric_reader: MetricReader) -> None:
        super().add_metric_reader(metric_reader)
        self._later.append(metric_reader)

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """End all readers. The SDK's own method leaves out those that were added later."""
        try:
            super().shutdown(timeout_millis)
        finally:
            while self._later:
                self._later.pop().shutdown(timeout_millis)

    @staticmethod
    def _flushed(reader: MetricReader, timeout_millis: float) -> bool:
        return flushed(reader.force_flush, max(0, int(timeout_millis)))


def _say_overflowed(metric: str, cap: int) -> None:
    message = "metric %s has more than %d attribute sets; further ones are summed under otel.metric.overflow"
    guard.log(f"overflow:{metric}", message, metric, cap)
