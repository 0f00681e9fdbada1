"""What a process does to memory and to the garbage collector: ``footprint_driver.py VARIANT ROUTE REQUESTS``.

It prints JSON: CPU seconds and bytes of memory after the start, full collections while it answers so many
requests, and the tracked objects that a request leaves behind.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path

import driver  # type: ignore[import-not-found]


def memory() -> int:
    """Resident bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


def tracked() -> int:
    """The number of objects that the garbage collector tracks."""
    for _ in range(8):
        # Each full collection untracks the tuples whose items it has untracked before.
        gc.collect()
    return len(gc.get_objects())


def main() -> None:
    requests = int(sys.argv[3])
    app = driver.start()
    found: dict[str, float] = {"cpu": time.process_time(), "memory": memory()}
    driver.ask(app, 200)
    gc.collect()
    collections = gc.get_stats()[2]["collections"]
    driver.ask(app, requests)
    found["full"] = gc.get_stats()[2]["collections"] - collections
    before = tracked()
    driver.ask(app, 500)
    found["tracked"] = (tracked() - before) / 500
    print(json.dumps(found))


main()
