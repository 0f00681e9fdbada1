"""Metrics of the process: how long it runs, and its share of processors and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from otelflask._internal.instrumentation.runtime import CPU_INTERVAL_S, RuntimeMetrics
from otelflask.testing import CapturedTelemetry


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _shares(telemetry: CapturedTelemetry) -> dict[str, float]:
    return {point.attributes["cpu.mode"]: point.value for point in telemetry.points("process.cpu.utilization")}


def _spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1_000))


def test_uptime_and_memory_are_those_of_the_process(telemetry: CapturedTelemetry) -> None:
    metrics = RuntimeMetrics(telemetry.meter_provider)
    (first,) = telemetry.points("process.uptime")
    (memory,) = telemetry.points("otelflask.process.memory.utilization")
    assert 0 < memory.value < 1
    time.sleep(0.05)
    (second,) = telemetry.points("process.uptime")
    assert second.value > first.value > 0
    metrics.stop()


def test_the_share_of_processors_is_that_of_the_last_seconds_whoever_reads(telemetry: CapturedTelemetry) -> None:
    clock = Clock()
    before = time.process_time()
    metrics = RuntimeMetrics(telemetry.meter_provider, clock)
    _spin(0.2)
    clock.now += 2.0
    first = _shares(telemetry)
    # Of two seconds, on all processors. Threads of other tests use some too. The system counts in steps of 10 ms.
    used = [0.2 - 0.02, time.process_time() - before + 0.02]
    least, most = (seconds / 2.0 / (os.cpu_count() or 1) for seconds in used)
    assert least <= sum(first.values()) <= most
    # A read in between does not make the next one a share of nothing.
    assert sum(_shares(telemetry).values()) >= least
    for _ in range(3):
        clock.now += CPU_INTERVAL_S
        _shares(telemetry)
    assert sum(_shares(telemetry).values()) < sum(first.values()) / 2
    metrics.stop()


def test_a_forked_child_measures_itself() -> None:
    code = """
import os, time, otelflask, psutil
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from flask import Flask

reader = InMemoryMetricReader()
otelflask.init(Flask("shop"), meter_provider=MeterProvider([reader]))
time.sleep(0.3)
child = os.fork()
began = psutil.Process().create_time()
least = time.time() - began
data = reader.get_metrics_data()
most = time.time() - began
found = {m.name: m.data.data_points for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}
name, is_right = "parent" if child else "child", least <= found["process.uptime"][0].value <= most
# In one piece: both write to one pipe.
os.write(1, f"{name} {is_right}\\n".encode())
if child:
    os.waitpid(child, 0)
os._exit(0)
"""
    environ = {**os.environ, "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, timeout=60)
    assert sorted(result.stdout.splitlines()) == ["child True", "parent True"], result
