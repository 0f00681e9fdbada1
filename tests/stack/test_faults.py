"""Backends that are down and a killed collector lose nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import Counter

import pytest

from tests.stack import driver, found
from tests.stack.backends import eventually
from tests.stack.compose import Stack

pytestmark = [pytest.mark.slow, pytest.mark.stack]

OUTAGE = 120
#: The export interval of the shop's metrics.
INTERVAL = 15


def _kill(stack: Stack, service: str) -> None:
    """SIGKILL the process itself, as the kernel does. Docker's restart policy starts it again."""
    container = stack.run("ps", "--quiet", service).strip()
    command = ["docker", "inspect", "--format", "{{.State.Pid}}", container]
    pid = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.needs("shop", "postgres", "redis")
def test_backends_away_for_two_minutes_and_a_killed_collector_lose_nothing(stack: Stack) -> None:
    backends = [name for name in ("prometheus", "loki", "tempo") if name not in stack.missing]
    run = driver.run_name("fault")
    before = eventually(lambda: found.count_in_prometheus(stack.backends), seconds=1)
    sent: list[driver.Sent] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.wait(0.1):
            sent.append(driver.request(stack.url["shop"], found.ROUTE, f"{run}-{len(sent):05d}"))

    thread = threading.Thread(target=load)
    thread.start()
    try:
        time.sleep(5)
        stack.run("stop", *backends)
        away_since = time.time()
        time.sleep(OUTAGE / 2)
        _kill(stack, "collector")
        time.sleep(OUTAGE / 2)
        away_until = time.time()
        stack.run("start", *backends)
        stack.wait("collector", *backends)
        time.sleep(5)
    finally:
        stop.set()
        thread.join()

    count = len(sent)
    assert Counter(item.status for item in sent) == {200: count}
    assert count > OUTAGE
    logs = eventually(
        lambda: set(found.serials_in_loki(stack.backends, run)), lambda serials: len(serials) >= count, seconds=120
    )
    assert driver.missing(sent, logs) == ""
    counted = eventually(
        lambda: found.count_in_prometheus(stack.backends) - before, lambda total: total >= count, seconds=120
    )
    assert counted == count
    # Measurements of the outage have the time at which they were made.
    lasted = int(away_until - away_since)
    samples = stack.backends.promql(
        f"min by (service_name) (count_over_time(process_thread_count[{lasted}s] @ {away_until:.0f}))"
    )
    assert int(samples[0]["value"][1]) >= lasted // INTERVAL - 1
    if "tempo" in stack.missing:
        pytest.skip(f"spans are not looked at: no image can be had for tempo ({stack.images['tempo']})")
    spans = eventually(
        lambda: set(found.serials_in_tempo(stack.backends, run)), lambda serials: len(serials) >= count, seconds=120
    )
    assert driver.missing(sent, spans) == ""


@pytest.mark.needs("shop", "postgres", "redis")
def test_data_survives_down_and_up(stack: Stack) -> None:
    run = driver.run_name("volume")
    sent = driver.requests(stack.url["shop"], found.ROUTE, 20, run)
    eventually(lambda: found.serials_in_loki(stack.backends, run), lambda serials: len(serials) >= 20)
    counted = eventually(lambda: found.count_in_prometheus(stack.backends), lambda total: total >= 20)
    stack.run("down", "--timeout", "10")
    stack.up()
    logs = eventually(lambda: found.serials_in_loki(stack.backends, run), lambda serials: len(serials) >= 20)
    assert driver.missing(sent, logs) == ""
    # The shop is a new process. Its count starts at zero, beside the old one's.
    series = stack.backends.promql(
        f'sum(max_over_time(http_server_request_duration_seconds_count{{http_route="{found.ROUTE}"}}[1h]))'
    )
    assert round(float(series[0]["value"][1])) >= counted
    if "tempo" not in stack.missing:
        spans = eventually(lambda: found.serials_in_tempo(stack.backends, run), lambda serials: len(serials) >= 20)
        assert driver.missing(sent, spans) == ""
