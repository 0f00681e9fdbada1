"""What a worker costs beside its requests' instructions: its start, its memory, and full garbage collections."""

from __future__ import annotations

import json
import os
import subprocess
from typing import NamedTuple

from otelflask.testing import FakeCollector
from tests.benchmarks.environments import ROOT, ROUTES, python_of

REQUESTS = 20_000
#: More than the bare app does in so many requests.
MOST_FULL_COLLECTIONS = 1
#: Objects that a request leaves for the garbage collector while nothing is sent.
MOST_TRACKED = 5
#: Nothing is sent, and everything fits.
_STALLED = {
    **dict.fromkeys(("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BLRP_SCHEDULE_DELAY", "OTEL_METRIC_EXPORT_INTERVAL"), "600000"),
    **dict.fromkeys(("OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BLRP_MAX_QUEUE_SIZE"), "1000000"),
    **dict.fromkeys(("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"), "1000000"),
}


class Footprint(NamedTuple):
    """What one process did: CPU seconds and bytes at its start, full collections, tracked objects a request."""

    cpu: float
    memory: float
    full: float
    tracked: float


def measure(variant: str, route: str, requests: int, **settings: str) -> Footprint:
    """Run one process."""
    with FakeCollector() as sink:
        done = subprocess.run(
            [
                str(python_of(variant, refresh=False)),
                str(ROOT / "tests" / "benchmarks" / "footprint_driver.py"),
                variant,
                route,
                str(requests),
            ],
            env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", **sink.environment(), **settings},
            capture_output=True,
            text=True,
            check=True,
        )
    return Footprint(**json.loads(done.stdout.splitlines()[-1]))


def report() -> list[str]:
    """Measure and print. Returns what is too much."""
    wrong: list[str] = []
    print(
        f"\nFull garbage collections in {REQUESTS:,} requests, and tracked objects that a request leaves behind while "
    )
    print("nothing is sent:\n\n| | bare app | otelflask | left behind |\n|---|---|---|---|")
    for route in ROUTES:
        bare, ours = (measure(variant, route, REQUESTS) for variant in ("bare", "otelflask"))
        stalled = measure("otelflask", route, 500, **_STALLED)
        print(f"| {route} | {bare.full:.0f} | {ours.full:.0f} | {stalled.tracked:.2f} |")
        if ours.full > bare.full + MOST_FULL_COLLECTIONS or stalled.tracked > MOST_TRACKED:
            wrong.append(f"the garbage collector has too much to do on {route}")
    bare = measure("bare", "/ping", 1)
    print("\n| added to a worker at its start | CPU | memory |\n|---|---|---|")
    for variant, name in (("contrib", "OpenTelemetry zero-code"), ("otelflask", "otelflask"), _ZERO_CODE):
        found = measure(variant, "/ping", 1)
        print(f"| {name} | {found.cpu - bare.cpu:.2f} s | {(found.memory - bare.memory) / 1e6:.0f} MB |")
    return wrong


_ZERO_CODE = ("otelflask-zero-code", "otelflask, zero code")
