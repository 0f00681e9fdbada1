"""``make bench-load``: requests per second, p99, CPU time and memory under gunicorn, beside the bare app.

Each variant has an environment of its own, as in ``make bench``. One worker with four threads gets
the load of four connections by wrk, and before that of one connection. The variants take turns, and
the median of the rounds counts. Everything runs on one machine: the app, wrk, and the receiver of
the telemetry.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from otelflask.testing import FakeCollector
from tests.benchmarks.environments import ROOT, python_of

ROUTES = ("/ping", "/api/products", "/boom")
VARIANTS = ("bare", "contrib", "otelflask")
ROUNDS, SECONDS, WARM_UP_S = 5, 6, 2
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_APP = """
import sys
sys.argv = ["driver.py", {variant!r}, "/", "0"]
sys.path.insert(0, {folder!r})
import driver
app = driver.start()
"""


class Load(NamedTuple):
    """What one server did.

    Attributes:
        rate: Requests per second at full load.
        p99: Milliseconds at full load.
        alone: The median of the milliseconds of a request with one connection.
        cpu: Milliseconds of CPU time of the worker per request.
        memory: MB (resident) of the worker after the load.
    """

    rate: float
    p99: float
    alone: float
    cpu: float
    memory: float


def measure(variant: str, route: str, sink: FakeCollector) -> Load:
    """Put one variant under load."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp"}
    environment |= {"OTEL_LOGS_EXPORTER": "otlp", **sink.environment()}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "loaded.py").write_text(_APP.format(variant=variant, folder=str(ROOT / "tests" / "benchmarks")))
        command = [str(python_of(variant, refresh=False)), "-m", "gunicorn", "loaded:app", "-b", address]
        command += ["-k", "gthread", "--threads", "4", "--log-level", "error"]
        server = subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.DEVNULL)
        try:
            _wait_for(f"http://{address}{route}")
            _, _, alone = _wrk(address, route, WARM_UP_S, connections=1)
            _wrk(address, route, WARM_UP_S)
            (worker,) = psutil.Process(server.pid).children()
            before = worker.cpu_times()
            rate, p99, _ = _wrk(address, route, SECONDS)
            after = worker.cpu_times()
            used = after.user + after.system - before.user - before.system
            memory = worker.memory_info().rss / 1e6
        finally:
            server.terminate()
            server.wait(60)
    sink.clear()
    return Load(rate, p99, alone, 1000 * used / (rate * SECONDS), memory)


def _wait_for(url: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(url).read()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def _wrk(address: str, route: str, seconds: int, connections: int = 4) -> tuple[float, float, float]:
    """Requests per second, and p99 and median in milliseconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://{address}{route}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert rate is not None, text
    times = {share: (value, unit) for share, value, unit in re.findall(r"(\d\d)%\s+([\d.]+)(us|ms|s)", text)}
    p99, median = (float(times[share][0]) * _MILLISECONDS[times[share][1]] for share in ("99", "50"))
    return float(rate[1]), p99, median


def main() -> None:
    """Measure and print the table."""
    if shutil.which("wrk") is None:
        raise SystemExit("make bench-load needs wrk (apt-get install wrk)")
    for variant in VARIANTS:
        python_of(variant)
    found: dict[tuple[str, str], list[Load]] = {}
    with FakeCollector() as sink:
        for _ in range(ROUNDS):
            for route in ROUTES:
                for variant in VARIANTS:
                    found.setdefault((variant, route), []).append(measure(variant, route, sink))
    median = {
        key: Load(*(statistics.median(values) for values in zip(*loads, strict=True))) for key, loads in found.items()
    }
    _print_table(median, "requests/s | of bare | p99", _at_full_load)
    print()
    _print_table(median, "ms, one client | CPU ms a request | MB a worker", _felt)


def _at_full_load(load: Load, bare: Load) -> str:
    return f"{load.rate:,.0f} | {load.rate / bare.rate:.2f} | {load.p99:.1f} ms"


def _felt(load: Load, bare: Load) -> str:
    return f"{load.alone:.2f} | {load.cpu:.2f} | {load.memory:.0f}"


def _print_table(median: dict[tuple[str, str], Load], columns: str, cells: Callable[[Load, Load], str]) -> None:
    print("| | " + " | ".join(f"{route}, {columns}" for route in ROUTES) + " |")
    print("|---|" + "---|---|---|" * len(ROUTES))
    for variant in VARIANTS:
        shown = [cells(median[variant, route], median["bare", route]) for route in ROUTES]
        print(f"| {variant} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
