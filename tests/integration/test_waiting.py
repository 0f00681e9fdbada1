"""What waits for its export costs Python's garbage collector nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from otelflask.testing import FakeCollector

SCRIPT = Path(__file__).parent / "apps" / "waiting.py"
#: Nothing is sent before the end, and everything fits.
WAITING = {
    **dict.fromkeys(("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BLRP_SCHEDULE_DELAY", "OTEL_METRIC_EXPORT_INTERVAL"), "600000"),
    **dict.fromkeys(("OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BLRP_MAX_QUEUE_SIZE"), "100000"),
    **dict.fromkeys(("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"), "100000"),
}
#: The most objects that one request may leave for the garbage collector.
MOST = 5


@pytest.mark.parametrize(("route", "items"), [("/ping", 2), ("/say", 4), ("/query", 5), ("/fail", 3)])
def test_a_request_leaves_hardly_any_tracked_object_while_nothing_is_sent(route: str, items: int) -> None:
    with FakeCollector() as collector:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), route, "300"],
            env={**WAITING, **collector.environment()},
            capture_output=True,
            text=True,
            check=True,
        )
    left, waiting = map(float, done.stdout.split())
    assert left <= MOST
    # Spans and log records of each request.
    assert waiting >= items
