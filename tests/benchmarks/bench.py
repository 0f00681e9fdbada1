"""``make bench``: instructions per request that each variant adds to the bare app.

Each variant has an environment of its own in ``.bench/``. A process runs under valgrind, with a few
requests and with many. The difference is the cost of the requests, including threads and export.
Instructions are counted, not timed, so that the figures repeat on a busy machine.
"""

from __future__ import annotations

import compileall
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from otelflask.testing import FakeCollector
from tests.benchmarks import footprint
from tests.benchmarks.environments import ROOT, ROUTES, VARIANTS, python_of

FEW, MANY = 40, 240
#: The live page is on, and nobody has it open.
PAGE_ON = {"OTELFLASK_MONITOR": "on", "OTELFLASK_MONITOR_TOKEN": "bench"}
#: Errors with large reports, beside an ordinary one, and how many of each are measured.
REPORTED = {
    "/boom": "an ordinary exception",
    "/recursion": "10,000 frames",
    "/cycle": "causes that cause each other",
    "/wide": "a group of 10,000",
    "/long": "a message of 1 MB",
}
FEW_REPORTS, MANY_REPORTS = 4, 12
#: The most thousand instructions, and the most bytes, of a report.
MAX_REPORT_COST, MAX_REPORT_BYTES = 150_000, 32_768
#: The thousand instructions that otelflask may add to a request. A figure that is 5 % worse is an error.
BOUNDS = {"/ping": 280, "/api/products": 600, "/boom": 800}
TOLERANCE = 1.05
#: Python's cache of methods is addressed by the hash of names. Some seeds make names collide: that is no cost of ours.
SEEDS = ("0", "1", "2")
BARE, OURS = "the bare app itself", "otelflask"


def instructions(variant: str, route: str, requests: int, **settings: str) -> tuple[int, dict[str, int]]:
    """Instructions of one process, and what arrived at the sink: spans, log records by kind, bytes of a report."""
    with FakeCollector() as sink:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "",
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
            "OTEL_BLRP_SCHEDULE_DELAY": "600000",
            "OTEL_METRIC_EXPORT_INTERVAL": "600000",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTELFLASK_SHUTDOWN_TIMEOUT": "60",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "60",
            **sink.environment(),
            **settings,
        }
        driver = str(ROOT / "tests" / "benchmarks" / "driver.py")
        command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        command += [str(python_of(variant, refresh=False)), driver, variant, route, str(requests)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT / ".bench")
        if done.returncode:
            raise SystemExit(f"{variant} {route}: {done.stderr[-2000:]}")
        found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
        assert found is not None, done.stderr
        arrived = {
            "server": sum(span.message.kind == 2 for span in sink.spans),
            "client": sum(span.message.kind == 3 for span in sink.spans),
            "request_log": sum(record.message.event_name == "http.server.request" for record in sink.logs),
            "logs": sum(record.message.event_name != "http.server.request" for record in sink.logs),
            "durations": sum(
                point.count
                for name in ("http.server.request.duration", "http.server.duration")
                for _, _, point in sink.points(name)
            ),
            "report_bytes": max(
                (record.message.ByteSize() for record in sink.logs if record.message.event_name == "exception"),
                default=0,
            ),
        }
        return int(found.group(1).replace(",", "")), arrived


def main() -> None:
    """Measure and print the tables."""
    if shutil.which("valgrind") is None:
        raise SystemExit("make bench needs valgrind (apt-get install valgrind)")
    for variant in VARIANTS:
        python_of(variant)
    # Otherwise the first process does it, and its instructions count.
    compileall.compile_dir(ROOT / "tests", quiet=1)
    rows: dict[str, tuple[str, dict[str, str]]] = {
        BARE: ("bare", {}),
        "OpenTelemetry zero-code": ("contrib", {}),
        "prometheus-flask-exporter": ("prometheus", {}),
        OURS: ("otelflask", {}),
        "otelflask, zero code": ("otelflask-zero-code", {}),
        "otelflask, live page on, nobody looking": ("otelflask", PAGE_ON),
        "otelflask, no metrics": ("otelflask", {"OTEL_METRICS_EXPORTER": "none"}),
        "otelflask, no logs": ("otelflask", {"OTEL_LOGS_EXPORTER": "none"}),
        "otelflask, no traces": ("otelflask", {"OTEL_TRACES_EXPORTER": "none"}),
    }
    # The two rows that decide are measured with each seed, the others with one.
    seeds = {name: SEEDS if name in (BARE, OURS) else SEEDS[:1] for name in rows}
    jobs = [
        (name, route, count, seed) for route in ROUTES for name in rows for count in (FEW, MANY) for seed in seeds[name]
    ]

    def run(job: tuple[str, str, int, str]) -> tuple[int, dict[str, int]]:
        name, route, count, seed = job
        variant, settings = rows[name]
        return instructions(variant, route, count, PYTHONHASHSEED=seed, **settings)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = dict(zip(jobs, pool.map(run, jobs), strict=True))

    def cost_of(name: str, route: str, of: tuple[str, ...]) -> float:
        spent = [results[name, route, MANY, seed][0] - results[name, route, FEW, seed][0] for seed in of]
        return sum(spent) / len(spent) / (MANY - FEW) / 1000

    cost = {(name, route): cost_of(name, route, seeds[name]) for name in rows for route in ROUTES}
    print("Thousand instructions a request, added to the bare app:\n")
    print("| | " + " | ".join(ROUTES) + " |\n|---|" + "---|" * len(ROUTES))
    wrong: list[str] = []
    for name in rows:
        bare = {route: 0.0 if name == BARE else cost_of(BARE, route, seeds[name]) for route in ROUTES}
        print(f"| {name} | " + " | ".join(f"{cost[name, route] - bare[route]:,.0f}" for route in ROUTES) + " |")
        for route in ROUTES:
            arrived, is_ours = results[name, route, MANY, SEEDS[0]][1], name.startswith(OURS)
            expected = {"server": is_ours or name == "OpenTelemetry zero-code", "request_log": is_ours}
            expected["server"] &= "traces" not in name
            expected["request_log"] &= "logs" not in name
            if any(arrived[what] != (MANY if sends else 0) for what, sends in expected.items()):
                wrong.append(f"{name} {route} did not send what it should: {arrived}")
    for route, bound in BOUNDS.items():
        added = cost[OURS, route] - cost[BARE, route]
        if added > bound * TOLERANCE:
            wrong.append(f"{route} costs {added:,.0f}, and its bound is {bound:,}")
    print(f"\nArrived at the sink from {MANY} requests:\n")
    for name in ("OpenTelemetry zero-code", OURS):
        for route in ROUTES:
            print(f"- {name} {route}: {results[name, route, MANY, SEEDS[0]][1]}")
    wrong += footprint.report()
    reports()
    if wrong:
        raise SystemExit("; ".join(wrong))


def reports() -> None:
    """Measure and print the cost of error reports: whole ones, and those above a group's limit."""
    whole = {"OTELFLASK_REPORTS_PER_MINUTE": "1000000"}
    jobs = [(v, r, n) for r in REPORTED for v in ("bare", "otelflask") for n in (FEW_REPORTS, MANY_REPORTS)]
    held = [("otelflask", "/boom", n) for n in (MANY, 2 * MANY, 4 * MANY)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        of_whole = pool.map(lambda job: instructions(*job, **whole), jobs)
        of_held = pool.map(lambda job: instructions(*job), held)
        results = dict(zip(jobs, of_whole, strict=True))
        above = [count for count, _ in of_held]
    print("\nAn error whose report goes out whole, in thousand instructions added to the bare app, and its bytes:\n")
    print("| | instructions | bytes |\n|---|---|---|")
    worst, most = 0.0, 0
    for route, what in REPORTED.items():
        added = {
            variant: (results[variant, route, MANY_REPORTS][0] - results[variant, route, FEW_REPORTS][0])
            / (MANY_REPORTS - FEW_REPORTS)
            / 1000
            for variant in ("bare", "otelflask")
        }
        cost, size = added["otelflask"] - added["bare"], results["otelflask", route, MANY_REPORTS][1]["report_bytes"]
        worst, most = max(worst, cost), max(most, size)
        print(f"| {what} | {cost:,.0f} | {size:,} |")
    first = (above[1] - above[0]) / MANY / 1000
    later = (above[2] - above[1]) / (2 * MANY) / 1000
    print(f"\nAbove the group's limit, with the bare app's part: {first:,.0f}, and later {later:,.0f}.")
    if worst > MAX_REPORT_COST or most > MAX_REPORT_BYTES or later > 1.05 * first:
        raise SystemExit("an error report is not bounded")


if __name__ == "__main__":
    main()
