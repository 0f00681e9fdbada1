"""Process and system metrics, by opentelemetry-instrumentation-system-metrics, correct after a fork too."""

from __future__ import annotations

from typing import Any

from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor

from otelflask._internal.compat.otel_instrumentation import measure_this_process
from otelflask._internal.lifecycle.component import Component

#: What is collected. Not ``process.runtime.*`` (deprecated names), no series a CPU or disk, and not
#: ``process.cpu.utilization``, which measures since the last read by anybody: use the rate of ``process.cpu.time``.
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


class RuntimeMetrics(Component):
    """Registers the metrics on a meter provider, once a process."""

    def __init__(self, meter_provider: Any) -> None:
        self._instrumentor = SystemMetricsInstrumentor(config=CONFIGURATION)
        if not self._instrumentor.is_instrumented_by_opentelemetry:
            self._instrumentor.instrument(meter_provider=meter_provider)

    def after_fork(self) -> None:
        """Measure this process: the instrumentation keeps the parent's psutil.Process."""
        measure_this_process(self._instrumentor)

    def stop(self) -> None:
        """Allow another registration. The SDK keeps instruments as long as their provider lives."""
        self._instrumentor.uninstrument()
