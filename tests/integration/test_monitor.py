"""The live page of four gunicorn workers."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.pages import rows_of
from tests.servers import free_port

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

@app.cli.command("recount")
def recount():
    app.logger.warning("recounting")
"""
COMMAND = ["gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "4", "--log-level", "critical", "seen:app"]


@pytest.fixture
def server(serve: Serve, app_dir: Path, tmp_path: Path) -> Server:
    (app_dir / "seen.py").write_text(APP)
    return serve(COMMAND, None, OTELFLASK_STATE_DIR=str(tmp_path / "state"), **NO_EXPORT)


def _page(server: Server, view: str) -> str:
    status, text = server.get(f"/monitoring/{view}")
    assert status in (200, 204), text
    return text


def _paths(server: Server, query: str = "") -> set[str]:
    return {row[2] for row in rows_of(_page(server, f"requests?{query}"))}


def _eventually(question: Callable[[], Any], accept: Callable[[Any], bool]) -> Any:
    end = time.monotonic() + 60
    while True:
        answer = question()
        if accept(answer) or time.monotonic() > end:
            return answer
        time.sleep(0.25)


def _get_all(server: Server, numbers: range) -> set[int]:
    """The workers that have answered."""
    with ThreadPoolExecutor(8) as pool:
        return {int(text) for _, text in pool.map(server.get, [f"/x/{number}" for number in numbers])}


def test_what_each_worker_has_seen_is_shown_whichever_is_asked(server: Server) -> None:
    pids = _get_all(server, range(150))
    assert len(pids) == 4
    wanted = {f"/x/{number}" for number in range(150)}
    assert _eventually(lambda: _paths(server), lambda found: found == wanted) == wanted
    processes = {int(row[0].split()[0]) for row in rows_of(_page(server, "runtime")) if " of " in row[0]}
    assert processes == pids
    # New requests of any worker appear a moment later.
    cursor = re.search(r'data-cursor="([^"]+)"', _page(server, "requests"))
    assert cursor is not None
    _get_all(server, range(1_000, 1_040))
    wanted = {f"/x/{number}" for number in range(1_000, 1_040)}
    assert _eventually(lambda: _paths(server, f"live=&after={cursor[1]}"), lambda found: found == wanted) == wanted


def test_a_worker_that_is_killed_breaks_nothing_and_one_that_ends_leaves_what_it_saw(server: Server) -> None:
    _page(server, "requests")
    pids = _get_all(server, range(100))
    os.kill(pids.pop(), signal.SIGKILL)
    ended = pids.pop()
    mine = {f"/x/{number}" for number in range(2_000, 2_040) if _get_all(server, range(number, number + 1)) == {ended}}
    os.kill(ended, signal.SIGTERM)
    psutil.wait_procs([psutil.Process(ended)] if psutil.pid_exists(ended) else [], timeout=60)
    assert server.get("/x/5000")[0] == 200
    found = _eventually(lambda: _paths(server), lambda paths: {"/x/5000", *mine} <= paths)
    assert {"/x/5000", *mine} <= found


def test_what_recycled_workers_saw_is_there_for_who_looks_later(serve: Serve, app_dir: Path, tmp_path: Path) -> None:
    (app_dir / "seen.py").write_text(APP)
    command = [*COMMAND[:-1], "--max-requests", "20", "seen:app"]
    command[command.index("4")] = "2"
    server = serve(command, None, OTELFLASK_STATE_DIR=str(tmp_path / "state"), **NO_EXPORT)
    for number in range(70):
        server.get(f"/x/{number}")
    wanted = {f"/x/{number}" for number in range(70)}
    assert _eventually(lambda: _paths(server), lambda found: found == wanted) == wanted


def test_the_development_server_has_no_line_of_the_page_and_ends_while_it_is_asked(
    serve: Serve, app_dir: Path, tmp_path: Path
) -> None:
    (app_dir / "seen.py").write_text(APP + "\nimport logging\nlogging.getLogger().setLevel(logging.INFO)\n")
    # Without threads a signal interrupts the page's own answer.
    command = ["flask", "--app", "seen", "run", "--port", "{port}", "--without-threads"]
    server = serve(command, None, OTELFLASK_STATE_DIR=str(tmp_path / "state"), **NO_EXPORT)
    server.get("/x/1")
    for _ in range(3):
        text = _page(server, "logs?text=HTTP")
    assert "/x/1 HTTP/1.1" in text
    assert "GET /monitoring" not in text
    with ThreadPoolExecutor(4) as pool:
        for _ in range(100):
            pool.submit(_try, server)
        time.sleep(0.3)
        server.stop()


def _try(server: Server) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        server.get("/monitoring")


def test_while_nobody_looks_nothing_is_written(server: Server, tmp_path: Path) -> None:
    for number in range(20):
        server.get(f"/x/{number}")
    time.sleep(1)
    assert not list((tmp_path / "state").glob("monitor-*"))


@pytest.mark.parametrize(
    "command",
    [["python", "seen.py"], ["flask", "--app", "seen", "run", "--debug", "--port", "{port}"]],
    ids=["app.run", "flask run"],
)
def test_in_debug_mode_the_server_names_the_page_and_has_it(
    serve: Serve, app_dir: Path, tmp_path: Path, command: list[str]
) -> None:
    text = APP.replace('environment="development", ', "")
    text += '\nif __name__ == "__main__":\n    app.run(debug=True, port=int(os.environ["RUN_PORT"]))\n'
    (app_dir / "seen.py").write_text(text)
    port = free_port()
    variables = {"OTELFLASK_STATE_DIR": str(tmp_path / "state"), "RUN_PORT": str(port), **NO_EXPORT}
    server = serve(command, None, port, **variables)
    address = f"Live page of seen: http://127.0.0.1:{port}/monitoring"
    assert _eventually(server.said, lambda said: address in said).count(address) == 1
    server.get("/x/1")
    assert _eventually(lambda: "/x/1" in _page(server, "requests"), bool)


def test_a_process_that_runs_jobs_is_shown_on_the_page_of_its_service(
    server: Server, app_dir: Path, tmp_path: Path
) -> None:
    assert rows_of(_page(server, "jobs")) == []
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST"))}
    environment |= {"OTELFLASK_STATE_DIR": str(tmp_path / "state"), **NO_EXPORT}
    command = [os.path.join(os.path.dirname(sys.executable), "flask"), "--app", "seen", "recount"]
    subprocess.run(command, cwd=app_dir, env=environment, check=True, timeout=60, capture_output=True)
    (row,) = rows_of(_page(server, "jobs"))
    assert row[1:5] == ["command", "flask recount", "", "success"]
    lines = rows_of(_page(server, "logs?text=recounting"))
    assert [line[1] for line in lines] == ["WARN"]
    # It serves no request: the list of requests is that of the server.
    assert rows_of(_page(server, "requests")) == []
