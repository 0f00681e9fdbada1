"""The live page of four gunicorn workers."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .conftest import NO_EXPORT, Serve, Server

pytestmark = pytest.mark.slow

APP = """
import os, time
from flask import Flask
import otelflask

app = Flask("seen")
otelflask.init(app, environment="development", runtime_metrics=False)

@app.get("/x/<int:number>")
def x(number):
    # So that no worker is quick enough to answer for all.
    time.sleep(0.01)
    return str(os.getpid())
"""
COMMAND = ["gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "4", "--log-level", "critical", "seen:app"]


@pytest.fixture
def server(serve: Serve, app_dir: Path, tmp_path: Path) -> Server:
    (app_dir / "seen.py").write_text(APP)
    return serve(COMMAND, None, OTELFLASK_STATE_DIR=str(tmp_path / "state"), **NO_EXPORT)


def _requests(server: Server, query: str = "") -> list[dict[str, Any]]:
    status, text = server.get(f"/monitoring/api/requests?{query}")
    assert status == 200, text
    found: list[dict[str, Any]] = json.loads(text)["requests"]
    return found


def _eventually(question: Callable[[], Any], accept: Callable[[Any], bool]) -> Any:
    end = time.monotonic() + 15
    while True:
        answer = question()
        if accept(answer) or time.monotonic() > end:
            return answer
        time.sleep(0.25)


def test_what_each_worker_has_seen_is_shown_whichever_is_asked(server: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        pids = {int(text) for _, text in pool.map(server.get, [f"/x/{number}" for number in range(150)])}
    assert len(pids) == 4
    found = _eventually(lambda: _requests(server), lambda rows: len(rows) == 150)
    assert {row["pid"] for row in found} == pids
    assert {row["path"] for row in found} == {f"/x/{number}" for number in range(150)}
    # Live: what comes now is there a moment later, from any of them.
    cursor = max(row["id"] for row in found)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(server.get, [f"/x/{number}" for number in range(1_000, 1_040)]))
    newer = _eventually(lambda: _requests(server, f"after={cursor}"), lambda rows: len(rows) == 40)
    assert {row["path"] for row in newer} == {f"/x/{number}" for number in range(1_000, 1_040)}


def test_a_worker_that_is_killed_breaks_nothing_and_one_that_ends_leaves_what_it_saw(server: Server) -> None:
    _requests(server)
    with ThreadPoolExecutor(8) as pool:
        pids = {int(text) for _, text in pool.map(server.get, [f"/x/{number}" for number in range(100)])}
    os.kill(pids.pop(), signal.SIGKILL)
    ended = pids.pop()
    os.kill(ended, signal.SIGTERM)
    time.sleep(2)
    assert server.get("/x/5000")[0] == 200
    found = _eventually(lambda: _requests(server), lambda rows: any(row["path"] == "/x/5000" for row in rows))
    assert any(row["path"] == "/x/5000" for row in found)
    assert any(row["pid"] == ended for row in found)


def test_while_nobody_looks_nothing_is_written(server: Server, tmp_path: Path) -> None:
    for number in range(20):
        server.get(f"/x/{number}")
    time.sleep(1)
    assert not list((tmp_path / "state").glob("monitor-*"))
