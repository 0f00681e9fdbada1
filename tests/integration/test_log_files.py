"""Log files that four gunicorn workers share."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from otelflask.testing import FakeCollector

from .conftest import Serve, Server

pytestmark = pytest.mark.slow

APP = """
import logging, os, time
from flask import Flask, request
import otelflask

app = Flask("burst")
otelflask.init(app, log_dir=os.environ["LOGS"], request_log=False)
logger = logging.getLogger("burst")
logger.setLevel(logging.INFO)
pause = float(os.environ.get("PAUSE", "0"))

@app.get("/pid")
def pid():
    return str(os.getpid())

@app.get("/line")
def line():
    logger.info("a line")
    return "ok"

@app.get("/burst/<int:burst>")
def burst(burst):
    for number in range(20_000):
        logger.info("%d %d %d", os.getpid(), burst, number)
        if pause and number % 100 == 0:
            time.sleep(pause)
    return str(os.getpid())
"""
COMMAND = [
    "gunicorn",
    "--bind",
    "127.0.0.1:{port}",
    "--workers",
    "4",
    "--graceful-timeout",
    "20",
    "--log-level",
    "critical",
]

#: A queue as large as the burst.
NOTHING_IS_DROPPED = {
    "OTELFLASK_LOG_FILE_QUEUE_SIZE": "80000",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
}


@pytest.fixture
def folder(tmp_path: Path, app_dir: Path) -> Path:
    (app_dir / "burst.py").write_text(APP)
    return tmp_path / "logs"


def start(serve: Serve, folder: Path, collector: FakeCollector | None, *options: str, **settings: str) -> Server:
    settings.setdefault("OTEL_LOGS_EXPORTER", "none")
    return serve(
        [*COMMAND, *options, "burst:app"],
        collector,
        LOGS=str(folder),
        OTELFLASK_LOG_FILE_SIZE="2000000",
        OTELFLASK_LOG_FILE_COUNT="20",
        OTELFLASK_SHUTDOWN_TIMEOUT="20",
        **settings,
    )


def bursts(server: Server, count: int = 4) -> list[str]:
    """Let each worker log 20,000 lines. Returns the workers that answered."""
    with ThreadPoolExecutor(count) as pool:
        return [text for status, text in pool.map(server.get, [f"/burst/{n}" for n in range(count)]) if status == 200]


def written(folder: Path) -> Counter[str]:
    """Each line's message, without those of the starts. A broken line is not JSON, and fails here."""
    return Counter(
        found["message"]
        for path in sorted(folder.glob("app.log*"))
        for found in map(json.loads, path.read_text().splitlines())
        if found.get("event") != "otelflask.start"
    )


@pytest.mark.parametrize(
    "options", [[], ["--preload"], ["--worker-class", "gevent"]], ids=["workers", "preload", "gevent"]
)
def test_a_queue_as_large_as_the_burst_loses_tears_and_doubles_nothing(
    serve: Serve, folder: Path, options: list[str]
) -> None:
    if "gevent" in options:
        pytest.importorskip("gevent", reason="gevent has no wheel here")
    server = start(serve, folder, None, *options, **NOTHING_IS_DROPPED)
    assert len(bursts(server)) == 4
    server.stop(timeout=60)
    lines = written(folder)
    assert set(lines.values()) == {1}
    assert len(lines) == 80_000
    assert len(list(folder.glob("app.log.*"))) > 3


def test_what_a_small_queue_does_not_take_is_counted(serve: Serve, folder: Path, fake_collector: FakeCollector) -> None:
    server = start(serve, folder, fake_collector, OTELFLASK_LOG_FILE_QUEUE_SIZE="500")
    assert len(bursts(server)) == 4
    server.stop(timeout=60)
    lines = written(folder)
    assert set(lines.values()) == {1}
    dropped = {
        (resource["process.pid"], point.attributes[0].key): point.as_int
        for resource, _, point in fake_collector.points("otel.sdk.processor.log.processed")
        if any(a.key == "error.type" and a.value.string_value == "queue_full" for a in point.attributes)
        and any(a.value.string_value == "otelflask_file_processor" for a in point.attributes)
    }
    assert sum(dropped.values()) > 0
    assert len(lines) + sum(dropped.values()) == 80_000


def test_a_killed_worker_tears_nothing_and_the_others_go_on(serve: Serve, folder: Path) -> None:
    server = start(
        serve,
        folder,
        None,
        **NOTHING_IS_DROPPED,
        PAUSE="0.01",
    )
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(server.get, f"/burst/{number}") for number in range(4)]
        victim = 0
        while not victim:
            path = folder / "app.log"
            text = path.read_text() if path.exists() else ""
            for line in text.splitlines()[:-1]:
                if "otelflask.start" in line:
                    continue
                victim = int(json.loads(line)["message"].split()[0])
        os.kill(victim, signal.SIGKILL)
        survivors = []
        for answer in answers:
            try:
                status, text = answer.result()
                survivors += [text] if status == 200 else []
            except OSError:
                # The killed worker's.
                continue
    server.stop(timeout=60)
    assert len(survivors) == 3
    lines = written(folder)
    assert set(lines.values()) == {1}
    by_worker = Counter(message.split()[0] for message in lines)
    assert {by_worker[pid] for pid in survivors} == {20_000}


def test_under_gevent_a_file_that_another_process_locks_holds_up_no_request(serve: Serve, folder: Path) -> None:
    pytest.importorskip("gevent", reason="gevent has no wheel here")
    server = start(serve, folder, None, "--worker-class", "gevent", "--workers", "1", **NOTHING_IS_DROPPED)
    assert server.get("/line")[0] == 200
    end = time.monotonic() + 60
    while not written(folder) and time.monotonic() < end:
        time.sleep(0.1)
    (lock,) = folder.glob(".__app*lock")
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        # While the first worker's lines wait to be written, another worker answers.
        for _ in range(5):
            assert server.get("/line")[0] == 200
            time.sleep(0.3)
    server.stop(timeout=60)
    assert written(folder)["a line"] == 6
