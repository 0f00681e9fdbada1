"""Four gunicorn workers that are recycled all the time: a scrape of any of them answers for all."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .conftest import NO_EXPORT, Serve, Server

pytestmark = pytest.mark.slow

APP = """
import os
from flask import Flask
import otelflask

app = Flask("scraped")
otelflask.init(app, metrics_path="/metrics", request_log=False, runtime_metrics=False)

@app.get("/x")
def x():
    return str(os.getpid())
"""
COMMAND = ["gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "4", "--log-level", "critical"]
REQUESTS = 3_000


def _counted(server: Server) -> float:
    status, text = server.get("/metrics")
    assert status == 200
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "http_server_request_duration_seconds_count"
    )


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["plain", "preload"])
def test_counts_are_exact_and_never_go_back(
    serve: Serve, app_dir: Path, tmp_path: Path, preload: tuple[str, ...]
) -> None:
    (app_dir / "scraped.py").write_text(APP)
    options = ["--max-requests", "200", "--config", "python:otelflask.gunicorn", *preload, "scraped:app"]
    server = serve([*COMMAND, *options], None, OTELFLASK_STATE_DIR=str(tmp_path / "state"), **NO_EXPORT)
    seen: list[float] = []
    done = threading.Event()

    def scrape() -> None:
        while not done.is_set():
            seen.append(_counted(server))
            time.sleep(0.2)

    scraping = threading.Thread(target=scrape)
    scraping.start()
    with ThreadPoolExecutor(4) as pool:
        pids = {text for _, text in pool.map(lambda _: server.get("/x"), range(REQUESTS))}
    done.set()
    scraping.join()
    assert len(pids) > 8
    assert seen == sorted(seen)
    # The counts since a worker's last write are a few seconds late, unless that worker answers.
    end = time.monotonic() + 60
    while _counted(server) != REQUESTS and time.monotonic() < end:
        time.sleep(0.5)
    assert [_counted(server) for _ in range(12)] == [REQUESTS] * 12


def test_a_killed_worker_takes_no_more_with_it_than_the_seconds_since_it_wrote(
    serve: Serve, app_dir: Path, tmp_path: Path
) -> None:
    (app_dir / "scraped.py").write_text(APP)
    server = serve([*COMMAND, "scraped:app"], None, OTELFLASK_STATE_DIR=str(tmp_path / "state"), **NO_EXPORT)
    with ThreadPoolExecutor(4) as pool:
        pids = {int(text) for _, text in pool.map(lambda _: server.get("/x"), range(400))}
    time.sleep(4)
    before = _counted(server)
    assert before == 400
    os.kill(pids.pop(), signal.SIGKILL)
    time.sleep(0.5)
    assert _counted(server) == 400
