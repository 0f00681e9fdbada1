"""Process and system metrics, correct after a fork too.

Most come from opentelemetry-instrumentation-system-metrics. Uptime and shares are measured here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import psutil
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.metrics import CallbackOptions, Observation

from otelflask._internal.compat.otel_instrumentation import measure_this_process
from otelflask._internal.lifecycle.component import Component
from otelflask._internal.version import __version__

#: What is collected. Not ``process.runtime.*`` (deprecated names), no series a CPU or disk, and not
#: ``process.cpu.utilization``, which measures since the last read by anybody.
CONFIGURATION: dict[str, list[str] | None] = {
    "process.cpu.time": ["user", "system"],
    "process.memory.usage": None,
    "process.memory.virtual": None,
    "process.context_switches": ["involuntary", "voluntary"],
    "process.thread.count": None,
    "process.open_file_descriptor.count": None,
    "cpython.gc.collections": None,
    "cpython.gc.collected_objects": None,
    "cpython.gc.uncollectable_objects": None,
    "system.memory.usage": ["used", "free", "cached"],
    "system.network.io": ["transmit", "receive"],
}


#: The least time in seconds over which the use of processors is measured, whoever reads it in between.
CPU_INTERVAL_S = 10.0


class RuntimeMetrics(Component):
    """Registers the metrics on a meter provider, once a process.

    Args:
        meter_provider: The meter provider.
        now: Returns monotonic seconds.
    """

    def __init__(self, meter_provider: Any, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._begin()
        meter = meter_provider.get_meter("otelflask.runtime", __version__)
        meter.create_observable_gauge(
            "process.uptime", [self._uptime], unit="s", description="The time that the process has been running."
        )
        meter.create_observable_gauge(
            "process.cpu.utilization",
            [self._cpu_utilization],
            unit="1",
            description="The share of all processors that the process used in the last ten seconds or more.",
        )
        meter.create_observable_gauge(
            "otelflask.process.memory.utilization",
            [self._memory_utilization],
            unit="1",
            description="The share of the machine's memory that the process holds.",
        )
        self._instrumentor = SystemMetricsInstrumentor(config=CONFIGURATION)
        if not self._instrumentor.is_instrumented_by_opentelemetry:
            self._instrumentor.instrument(meter_provider=meter_provider)

    def _begin(self) -> None:
        self._process = psutil.Process()
        #: Two measurements (monotonic seconds, and CPU seconds by mode): the older one is the base of the share.
        self._older = self._newer = self._cpu_times()

    def after_fork(self) -> None:
        """Measure this process: the instrumentation keeps the parent's psutil.Process."""
        measure_this_process(self._instrumentor)
        self._begin()

    def _cpu_times(self) -> tuple[float, dict[str, float]]:
        times = self._process.cpu_times()
        return self._now(), {"user": times.user, "system": times.system}

    def _uptime(self, options: CallbackOptions) -> Iterable[Observation]:
        yield Observation(max(0.0, time.time() - self._process.create_time()))

    def _cpu_utilization(self, options: CallbackOptions) -> Iterable[Observation]:
        current = self._cpu_times()
        if current[0] - self._newer[0] >= CPU_INTERVAL_S:
            self._older, self._newer = self._newer, current
        since, before = self._older
        seconds = current[0] - since
        if seconds <= 0:
            return
        processors = os.cpu_count() or 1
        for mode, used in current[1].items():
            yield Observation(max(0.0, used - before[mode]) / seconds / processors, {"cpu.mode": mode})

    def _memory_utilization(self, options: CallbackOptions) -> Iterable[Observation]:
        yield Observation(self._process.memory_info().rss / psutil.virtual_memory().total)

    def stop(self) -> None:
        """Allow another registration. The SDK keeps instruments as long as their provider lives."""
        self._instrumentor.uninstrument()
