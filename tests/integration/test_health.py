"""A gunicorn after SIGTERM: not ready, but answering; then gone, in time."""

from __future__ import annotations

import signal
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from .conftest import NO_EXPORT, Serve, Server

pytestmark = pytest.mark.slow

APP = """
import time
from flask import Flask
import otelflask

app = Flask("ends")
otelflask.init(app, runtime_metrics=False)

@app.get("/slow")
def slow():
    time.sleep(3)
    return "done"

@app.get("/x")
def x():
    return "ok"
"""
COMMAND = ["gunicorn", "--config", "python:otelflask.gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2"]


def _status(server: Server, path: str) -> int:
    """The status over a new connection; 0 if none is accepted."""
    try:
        with urllib.request.urlopen(server.url + path, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (TimeoutError, urllib.error.URLError, OSError):
        return 0


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_ready_says_503_while_new_connections_are_taken_and_requests_end_well(
    serve: Serve, app_dir: Path, worker: str
) -> None:
    if worker == "gevent":
        pytest.importorskip("gevent")
    (app_dir / "ends.py").write_text(APP)
    options = ["--worker-class", worker, "--threads", "4", "--graceful-timeout", "5", "--log-level", "critical"]
    server = serve([*COMMAND, *options, "ends:app"], None, OTELFLASK_HEALTH_DRAIN="2", **NO_EXPORT)
    assert _status(server, "/health/ready") == 200

    slow: list[int] = []
    asking = threading.Thread(target=lambda: slow.append(_status(server, "/slow")))
    asking.start()
    time.sleep(0.5)
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    seen: list[tuple[int, int]] = []
    while time.monotonic() - started < 1.5:
        seen.append((_status(server, "/health/ready"), _status(server, "/x")))
        time.sleep(0.1)
    server.process.wait(60)
    asking.join()
    # The signal takes a moment.
    assert {ready for ready, _ in seen[3:]} == {503}
    assert {other for _, other in seen} == {200}
    assert slow == [200]
    assert server.process.returncode == 0
