"""``make bench-load``: requests per second and p99 under gunicorn, beside the bare app.

Each variant has an environment of its own, as in ``make bench``. One worker with four threads gets
the load of four connections by wrk. The variants take turns, and the median of the rounds counts.
Everything runs on one machine: the app, wrk, and the receiver of the telemetry.
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
from pathlib import Path

from otelflask.testing import FakeCollector
from tests.benchmarks.bench import ROOT, python_of

ROUTES = ("/ping", "/api/products")
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


def measure(variant: str, route: str, sink: FakeCollector) -> tuple[float, float]:
    """Requests per second, and p99 in milliseconds."""
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
            _wrk(address, route, WARM_UP_S)
            found = _wrk(address, route, SECONDS)
        finally:
            server.terminate()
            server.wait(60)
    sink.clear()
    return found


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


def _wrk(address: str, route: str, seconds: int) -> tuple[float, float]:
    command = ["wrk", "-t1", "-c4", f"-d{seconds}s", "--latency", f"http://{address}{route}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate, p99 = re.search(r"Requests/sec:\s+([\d.]+)", text), re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    assert rate is not None, text
    assert p99 is not None, text
    return float(rate[1]), float(p99[1]) * _MILLISECONDS[p99[2]]


def main() -> None:
    """Measure and print the table."""
    if shutil.which("wrk") is None:
        raise SystemExit("make bench-load needs wrk (apt-get install wrk)")
    for variant in VARIANTS:
        python_of(variant)
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with FakeCollector() as sink:
        for _ in range(ROUNDS):
            for route in ROUTES:
                for variant in VARIANTS:
                    found.setdefault((variant, route), []).append(measure(variant, route, sink))
    print(
        "| | "
        + " | ".join(f"{r}, requests/s | of bare | p99" for r in ROUTES)
        + " |\n|---|"
        + "---|---|---|" * len(ROUTES)
    )
    for variant in VARIANTS:
        cells = []
        for route in ROUTES:
            rate = statistics.median(item[0] for item in found[variant, route])
            bare = statistics.median(item[0] for item in found["bare", route])
            p99 = statistics.median(item[1] for item in found[variant, route])
            cells.append(f"{rate:,.0f} | {rate / bare:.2f} | {p99:.1f} ms")
        print(f"| {variant} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
