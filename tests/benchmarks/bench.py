"""``make bench``: instructions per request that each variant adds to the bare app.

Each variant has an environment of its own in ``.bench/``. A process runs under valgrind, with a few
requests and with many. The difference is the cost of the requests, including threads and export.
Instructions are counted, not timed, so that the figures repeat on a busy machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from otelflask.testing import FakeCollector

ROOT = Path(__file__).resolve().parents[2]
ROUTES = ("/ping", "/api/products", "/boom")
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
BASE = ["flask==3.1.3", "werkzeug==3.1.9", "sqlalchemy==2.0.51", "gunicorn==27.0.1"]
OTEL = ["opentelemetry-sdk==1.45.1", "opentelemetry-exporter-otlp==1.45.1"]
VARIANTS: dict[str, list[str]] = {
    "bare": BASE,
    "contrib": [
        *BASE,
        *OTEL,
        "opentelemetry-distro==0.66b1",
        "opentelemetry-instrumentation-flask==0.66b1",
        "opentelemetry-instrumentation-sqlalchemy==0.66b1",
        "opentelemetry-instrumentation-logging==0.66b1",
    ],
    "prometheus": [*BASE, "prometheus-flask-exporter==0.23.2"],
    "otelflask": [*BASE, *OTEL, str(ROOT)],
}


def python_of(variant: str, refresh: bool = True) -> Path:
    """The variant's interpreter. Its environment is made on first use, and has this tree from the last `refresh`."""
    folder = ROOT / ".bench" / variant
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *VARIANTS[variant]], check=True)
        (folder / ".ready").touch()
    if variant == "otelflask" and refresh:
        # Always the current tree.
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", str(ROOT)], check=True
        )
    return python


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
        command += [str(ROOT / ".bench" / variant / "bin" / "python"), driver, variant, route, str(requests)]
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
    """Measure and print the table."""
    if shutil.which("valgrind") is None:
        raise SystemExit("make bench needs valgrind (apt-get install valgrind)")
    for variant in VARIANTS:
        python_of(variant)
    jobs = [(v, r, n) for r in ROUTES for v in VARIANTS for n in (FEW, MANY)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = dict(zip(jobs, pool.map(lambda job: instructions(*job), jobs), strict=True))
        watched = [(r, n) for r in ROUTES for n in (FEW, MANY)]
        on = dict(
            zip(watched, pool.map(lambda job: instructions("otelflask", *job, **PAGE_ON)[0], watched), strict=True)
        )
    cost = {}
    for variant in VARIANTS:
        for route in ROUTES:
            many, arrived = results[variant, route, MANY]
            few, _ = results[variant, route, FEW]
            cost[variant, route] = (many - few) / (MANY - FEW) / 1000
            if variant in ("contrib", "otelflask"):
                assert arrived["server"] == arrived["durations"] == MANY, (variant, route, arrived)
            if variant == "otelflask":
                assert arrived["request_log"] == MANY, arrived
    print("Thousand instructions a request, added to the bare app:\n")
    print("| | " + " | ".join(ROUTES) + " |\n|---|" + "---|" * len(ROUTES))
    print("| bare app (its own) | " + " | ".join(f"{cost['bare', r]:,.0f}" for r in ROUTES) + " |")
    for variant in list(VARIANTS)[1:]:
        print(f"| {variant} | " + " | ".join(f"{cost[variant, r] - cost['bare', r]:,.0f}" for r in ROUTES) + " |")
    of_page = {r: (on[r, MANY] - on[r, FEW]) / (MANY - FEW) / 1000 - cost["bare", r] for r in ROUTES}
    print("| otelflask, live page on, nobody looking | " + " | ".join(f"{of_page[r]:,.0f}" for r in ROUTES) + " |")
    ratios = [
        (cost["otelflask", r] - cost["bare", r]) / (cost["contrib", r] - cost["bare", r]) for r in ROUTES
    ]  # fmt: skip
    print("| otelflask : contrib | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")
    print(f"\nArrived at the sink from {MANY} requests:\n")
    for variant in ("contrib", "otelflask"):
        for route in ROUTES:
            print(f"- {variant} {route}: {results[variant, route, MANY][1]}")
    if max(ratios) > 0.5:
        raise SystemExit("otelflask adds more than half of what contrib adds")
    reports()


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
