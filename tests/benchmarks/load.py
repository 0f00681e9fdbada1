"""``make bench-load``: requests per second and p99 under gunicorn, beside the bare app, and what arrives.

Each variant has an environment of its own, as in ``make bench``. One worker with four threads gets
the load of four connections by wrk, and in another run half of the rate that the bare app serves, by
vegeta. The app has one core of the machine. The load, and the receiver of the telemetry, share
another. A variant and the bare app take turns in short slices (bare, variant, variant, bare), because
other machines on the same host disturb. The one that has no turn is stopped. So what it has still to
export falls into its own slices. A ratio is the median over these rounds.
"""

from __future__ import annotations

import functools
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
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self

import psutil

from otelflask.testing import FakeCollector
from tests.benchmarks.environments import ROOT, python_of

ROUTES = ("/ping", "/api/products", "/boom")
BARE, VARIANTS = "bare", ("contrib", "otelflask")
ROUNDS, SECONDS, WARM_UP_S = 5, 2, 4
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_SERVER_SPAN = 2
_CORES = sorted(os.sched_getaffinity(0))
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


class Server:
    """gunicorn with one variant of the app, which runs only within `turn`.

    Args:
        variant: The variant.
        route: The route that is asked for.
        sink: Where its telemetry goes.

    Attributes:
        count: The number of answers so far.
        cpu: Seconds of CPU time that the worker has used in its turns.
        alone: The median of the milliseconds of a request with one connection.
    """

    def __init__(self, variant: str, route: str, sink: FakeCollector) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        environment = {"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp"}
        environment |= {"OTEL_LOGS_EXPORTER": "otlp", "OTELFLASK_SHUTDOWN_TIMEOUT": "30", **sink.environment()}
        self._folder = tempfile.TemporaryDirectory()
        text = _APP.format(variant=variant, folder=str(ROOT / "tests" / "benchmarks"))
        Path(self._folder.name, "loaded.py").write_text(text)
        command = ["taskset", "-c", str(_CORES[0]), str(python_of(variant, refresh=False)), "-m", "gunicorn"]
        command += ["loaded:app", "-b", address, "-k", "gthread", "--threads", "4", "--log-level", "error"]
        self._process = subprocess.Popen(
            [*command, "--graceful-timeout", "60"],
            env=environment,
            cwd=self._folder.name,
            stderr=subprocess.DEVNULL,
        )
        self._url = f"http://{address}{route}"
        _wait_for(self._url)
        (self.worker,) = psutil.Process(self._process.pid).children()
        alone, warm_up = _wrk(self._url, WARM_UP_S / 2, connections=1), _wrk(self._url, WARM_UP_S / 2)
        self.count = 1 + alone.count + warm_up.count
        self.alone = alone.median
        self.cpu = 0.0
        self.worker.suspend()

    def turn(self, load: Callable[[str], Answered]) -> Answered:
        """Let it run, under load."""
        self.worker.resume()
        before = self.worker.cpu_times()
        answered = load(self._url)
        after = self.worker.cpu_times()
        self.worker.suspend()
        self.cpu += after.user + after.system - before.user - before.system
        self.count += answered.count
        return answered

    @property
    def memory(self) -> float:
        """MB (resident) of the worker."""
        return float(self.worker.memory_info().rss) / 1e6

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.worker.resume()
        self._process.terminate()
        self._process.wait(90)
        self._folder.cleanup()


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


def _wrk(url: str, seconds: float = SECONDS, connections: int = 4) -> Answered:
    """As many requests as it serves."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--latency", url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate, count = re.search(r"Requests/sec:\s+([\d.]+)", text), re.search(r"(\d+) requests in", text)
    assert rate is not None, text
    assert count is not None, text
    times = {share: (value, unit) for share, value, unit in re.findall(r"(\d\d)%\s+([\d.]+)(us|ms|s)", text)}
    p99, median = (float(times[share][0]) * _MILLISECONDS[times[share][1]] for share in ("99", "50"))
    return Answered(float(rate[1]), int(count[1]), p99, median)


def _vegeta(url: str, rate: float) -> Answered:
    """A constant number of requests per second."""
    attack = ["vegeta", "attack", f"-rate={rate:.0f}", f"-duration={SECONDS}s", "-max-connections=64"]
    results = subprocess.run(attack, input=f"GET {url}".encode(), capture_output=True, check=True).stdout
    command = ["vegeta", "report", "-type=json"]
    found = json.loads(subprocess.run(command, input=results, capture_output=True, check=True).stdout)
    # Without an answer, the status is 0.
    count = sum(number for status, number in found["status_codes"].items() if status != "0")
    took = (found["duration"] + found["wait"]) / 1e9
    return Answered(count / took, count, found["latencies"]["99th"] / 1e6, found["latencies"]["50th"] / 1e6)


class Row(NamedTuple):
    """A variant beside the bare app: the medians over all rounds, and what has arrived.

    Attributes:
        rate: Requests per second.
        rate_of_bare, p99_of_bare: Beside the same round's bare app.
        p99: Milliseconds.
        answered: The number of answers since the start.
        arrived: The number of their spans that the receiver got.
        people: For each of both, milliseconds of a request with one connection, milliseconds of CPU time
            of the worker per request, and its memory in MB.
        bare_rate: Requests per second of the bare app.
    """

    rate: float
    rate_of_bare: float
    p99: float
    p99_of_bare: float
    answered: int
    arrived: int
    people: dict[str, tuple[float, float, float]]
    bare_rate: float


def beside_the_bare_app(variant: str, route: str, sink: FakeCollector, load: Callable[[str], Answered] = _wrk) -> Row:
    """Measure a variant and the bare app in turns."""
    sink.clear()
    rounds: list[tuple[Answered, Answered]] = []
    with ExitStack() as stack:
        bare, ours = (stack.enter_context(Server(which, route, sink)) for which in (BARE, variant))
        begun = {server: server.count for server in (bare, ours)}
        for _ in range(ROUNDS):
            turns = [(server, server.turn(load)) for server in (bare, ours, ours, bare)]
            rounds.append((_mean([a for s, a in turns if s is ours]), _mean([a for s, a in turns if s is bare])))
        people = {
            name: (server.alone, 1000 * server.cpu / (server.count - begun[server]), server.memory)
            for name, server in ((variant, ours), (BARE, bare))
        }
    return Row(
        statistics.median(mine.rate for mine, _ in rounds),
        statistics.median(mine.rate / other.rate for mine, other in rounds),
        statistics.median(mine.p99 for mine, _ in rounds),
        statistics.median(mine.p99 / other.p99 for mine, other in rounds),
        ours.count,
        _spans(sink),
        people,
        statistics.median(other.rate for _, other in rounds),
    )


def _mean(answered: list[Answered]) -> Answered:
    rates, counts, p99s, medians = zip(*answered, strict=True)
    return Answered(*map(statistics.mean, (rates, counts, p99s, medians)))


def _spans(sink: FakeCollector) -> int:
    return sum(
        span.kind == _SERVER_SPAN
        for signal, _, message in list(sink.requests)
        if signal == "traces"
        for group in message.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    )


def main() -> None:
    """Measure and print the tables."""
    if shutil.which("wrk") is None:
        raise SystemExit("make bench-load needs wrk (apt-get install wrk)")
    if len(_CORES) < 2:
        raise SystemExit("make bench-load needs two cores")
    for variant in (BARE, *VARIANTS):
        python_of(variant)
    # Of this process, the receiver in it, and the tools.
    os.sched_setaffinity(0, _CORES[1:2])
    with FakeCollector() as sink:
        full = {(v, r): beside_the_bare_app(v, r, sink) for r in ROUTES for v in VARIANTS}
        _print("Full load", full)
        print("\n| | route | ms, one client | CPU ms a request | MB a worker |\n|---|---|---|---|---|")
        for (variant, route), row in full.items():
            for name, (alone, cpu, memory) in row.people.items():
                beside = f", beside {variant}" if name == BARE else ""
                print(f"| {name}{beside} | {route} | {alone:.2f} | {cpu:.2f} | {memory:.0f} |")
        if shutil.which("vegeta") is None:
            print("\nThe half load needs vegeta: go install github.com/tsenart/vegeta/v12@latest")
            return
        half = {
            (v, r): beside_the_bare_app(v, r, sink, functools.partial(_vegeta, rate=full[v, r].bare_rate / 2))
            for r in ROUTES
            for v in VARIANTS
        }
        _print("Half of the bare app's rate", half)


def _print(title: str, found: dict[tuple[str, str], Row]) -> None:
    print(f"\n{title}:\n\n| | route | requests/s | of bare | p99 | of bare | spans of answers | dropped |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for (variant, route), row in found.items():
        cells = (f"{row.rate:,.0f}", f"{row.rate_of_bare:.2f}", f"{row.p99:.1f} ms", f"{row.p99_of_bare:.1f} ×")
        arrived = f"{row.arrived:,} of {row.answered:,}"
        print(f"| {variant} | {route} | {' | '.join(cells)} | {arrived} | {max(0, row.answered - row.arrived)} |")


if __name__ == "__main__":
    main()
