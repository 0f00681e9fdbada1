"""``make bench-load``: requests per second and p99 under gunicorn, beside the bare app, and what arrives.

Each variant has an environment of its own, as in ``make bench``. One worker with four threads gets
the load of four connections by wrk, and in another run half of the rate that the bare app serves, by
vegeta. A variant takes turns with the bare app: bare, variant, variant, bare. Everything runs on one
machine: the app, the load, and the receiver of the telemetry.
"""

from __future__ import annotations

import json
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
from pathlib import Path
from typing import NamedTuple

import psutil

from otelflask.testing import FakeCollector
from tests.benchmarks.environments import ROOT, python_of

ROUTES = ("/ping", "/api/products", "/boom")
BARE, VARIANTS = "bare", ("contrib", "otelflask")
SECONDS, WARM_UP_S = 6, 2
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_SERVER_SPAN = 2
_APP = """
import sys
sys.argv = ["driver.py", {variant!r}, "/", "0"]
sys.path.insert(0, {folder!r})
import driver
app = driver.start()
"""


class Answered(NamedTuple):
    """What a tool for load has seen: requests per second, number of answers, p99 and median in milliseconds."""

    rate: float
    count: int
    p99: float
    median: float


class Load(NamedTuple):
    """What one server did.

    Attributes:
        rate: Requests per second.
        p99: Milliseconds.
        alone: The median of the milliseconds of a request with one connection.
        cpu: Milliseconds of CPU time of the worker per request.
        memory: MB (resident) of the worker after the load.
        answered: The number of answers since the start.
        arrived: The number of their spans that the receiver got.
    """

    rate: float
    p99: float
    alone: float
    cpu: float
    memory: float
    answered: float
    arrived: float


def measure(variant: str, route: str, sink: FakeCollector, rate: float = 0.0) -> Load:
    """Put one variant under load: as much as it serves, or a constant rate in requests per second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp"}
    environment |= {"OTEL_LOGS_EXPORTER": "otlp", "OTELFLASK_SHUTDOWN_TIMEOUT": "30", **sink.environment()}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "loaded.py").write_text(_APP.format(variant=variant, folder=str(ROOT / "tests" / "benchmarks")))
        command = [str(python_of(variant, refresh=False)), "-m", "gunicorn", "loaded:app", "-b", address]
        command += ["-k", "gthread", "--threads", "4", "--log-level", "error", "--graceful-timeout", "60"]
        server = subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.DEVNULL)
        try:
            _wait_for(f"http://{address}{route}")
            alone = _wrk(address, route, WARM_UP_S, connections=1)
            warm_up = _wrk(address, route, WARM_UP_S)
            (worker,) = psutil.Process(server.pid).children()
            before = worker.cpu_times()
            load = _vegeta(address, route, SECONDS, rate) if rate else _wrk(address, route, SECONDS)
            after = worker.cpu_times()
            used = after.user + after.system - before.user - before.system
            memory = worker.memory_info().rss / 1e6
        finally:
            server.terminate()
            server.wait(90)
    arrived = sum(
        span.kind == _SERVER_SPAN
        for signal, _, message in list(sink.requests)
        if signal == "traces"
        for group in message.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    )
    sink.clear()
    answered = 1 + alone.count + warm_up.count + load.count
    return Load(load.rate, load.p99, alone.median, 1000 * used / load.count, memory, answered, arrived)


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


def _wrk(address: str, route: str, seconds: int, connections: int = 4) -> Answered:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://{address}{route}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate, count = re.search(r"Requests/sec:\s+([\d.]+)", text), re.search(r"(\d+) requests in", text)
    assert rate is not None, text
    assert count is not None, text
    times = {share: (value, unit) for share, value, unit in re.findall(r"(\d\d)%\s+([\d.]+)(us|ms|s)", text)}
    p99, median = (float(times[share][0]) * _MILLISECONDS[times[share][1]] for share in ("99", "50"))
    return Answered(float(rate[1]), int(count[1]), p99, median)


def _vegeta(address: str, route: str, seconds: int, rate: float) -> Answered:
    attack = ["vegeta", "attack", f"-rate={rate:.0f}", f"-duration={seconds}s", "-max-connections=64"]
    target = f"GET http://{address}{route}".encode()
    results = subprocess.run(attack, input=target, capture_output=True, check=True).stdout
    command = ["vegeta", "report", "-type=json"]
    found = json.loads(subprocess.run(command, input=results, capture_output=True, check=True).stdout)
    # Without an answer, the status is 0.
    count = sum(number for status, number in found["status_codes"].items() if status != "0")
    took = (found["duration"] + found["wait"]) / 1e9
    return Answered(count / took, count, found["latencies"]["99th"] / 1e6, found["latencies"]["50th"] / 1e6)


def _beside_the_bare_app(variant: str, route: str, sink: FakeCollector, rate: float = 0.0) -> tuple[Load, Load]:
    """The means of a variant and of the bare app, which take turns."""
    loads = [(which, measure(which, route, sink, rate)) for which in (BARE, variant, variant, BARE)]
    bare, ours = ([load for which, load in loads if which == name] for name in (BARE, variant))
    return _mean(ours), _mean(bare)


def _mean(loads: list[Load]) -> Load:
    return Load(*(statistics.mean(values) for values in zip(*loads, strict=True)))


def main() -> None:
    """Measure and print the tables."""
    if shutil.which("wrk") is None:
        raise SystemExit("make bench-load needs wrk (apt-get install wrk)")
    for variant in (BARE, *VARIANTS):
        python_of(variant)
    with FakeCollector() as sink:
        full = {(v, r): _beside_the_bare_app(v, r, sink) for r in ROUTES for v in VARIANTS}
        _print("Full load", full)
        print("\n| | route | ms, one client | CPU ms a request | MB a worker |\n|---|---|---|---|---|")
        for (variant, route), loads in full.items():
            for name, load in zip((variant, f"bare, beside {variant}"), loads, strict=True):
                print(f"| {name} | {route} | {load.alone:.2f} | {load.cpu:.2f} | {load.memory:.0f} |")
        if shutil.which("vegeta") is None:
            print("\nThe half load needs vegeta: go install github.com/tsenart/vegeta/v12@latest")
            return
        half = {(v, r): _beside_the_bare_app(v, r, sink, full[v, r][1].rate / 2) for r in ROUTES for v in VARIANTS}
        _print("Half of the bare app's rate", half)


def _print(title: str, found: dict[tuple[str, str], tuple[Load, Load]]) -> None:
    print(f"\n{title}:\n\n| | route | requests/s | of bare | p99 | of bare | spans of answers | dropped |")
    print("|---|---|---|---|---|---|---|---|")
    for (variant, route), (ours, bare) in found.items():
        rate, p99 = ours.rate / bare.rate, ours.p99 / bare.p99
        lost = max(0.0, ours.answered - ours.arrived)
        cells = (f"{ours.rate:,.0f}", f"{rate:.2f}", f"{ours.p99:.1f} ms", f"{p99:.1f} ×", f"{ours.arrived:,.0f}")
        print(f"| {variant} | {route} | {' | '.join(cells)} of {ours.answered:,.0f} | {lost:,.0f} |")


if __name__ == "__main__":
    main()
