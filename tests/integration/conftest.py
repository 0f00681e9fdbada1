"""Real processes that send to a real receiver."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from otelflask.testing import FakeCollector
from tests.servers import free_port

APP = """
import logging
from flask import Flask

app = Flask("plain")
logging.basicConfig(level=logging.INFO)
__IMPORTS__

@app.get("/hello/<name>")
def hello(name):
    app.logger.info("hello %s", name)
    return f"hello {name}"

@app.get("/pid")
def pid():
    import os
    return str(os.getpid())

__INIT__
"""


#: Variables of a process that sends nothing.
NO_EXPORT = {f"OTEL_{name}_EXPORTER": "none" for name in ("TRACES", "METRICS", "LOGS")}


class Server:
    """A running server process."""

    def __init__(self, process: subprocess.Popen[str], url: str, output: Path) -> None:
        self.process = process
        self.url = url
        self._output = output

    def said(self) -> str:
        """Its output, stdout and stderr."""
        return self._output.read_text()

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=60) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def pids(self, workers: int) -> list[str]:
        """Send requests until each worker has answered. Returns the process of each answer.

        A worker that gets a signal while it starts may not notice it, and ends late, or never.
        """
        pids: list[str] = []
        end = time.monotonic() + 60
        with ThreadPoolExecutor(8) as pool:
            while len(set(pids)) < workers:
                assert time.monotonic() < end, (pids, self.said())
                answers = list(pool.map(self.get, ["/pid"] * 20))
                assert {status for status, _ in answers} == {200}, self.said()
                pids += [pid for _, pid in answers]
        return pids

    def stop(self, number: int = signal.SIGTERM, timeout: float = 60) -> float:
        """Stop it. Returns the seconds that this took."""
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout)
        return time.monotonic() - started


@pytest.fixture
def app_dir(tmp_path: Path) -> Path:
    """A folder with two apps: one without otelflask, and one that calls it."""
    (tmp_path / "plain.py").write_text(APP.replace("__IMPORTS__", "").replace("__INIT__", ""))
    (tmp_path / "wired.py").write_text(
        APP.replace("__IMPORTS__", "import otelflask").replace("__INIT__", "otelflask.init(app)")
    )
    return tmp_path


Serve = Callable[..., Server]


@pytest.fixture
def serve(app_dir: Path) -> Iterator[Serve]:
    """Start ``serve(command, collector, port, **variables)``; `{port}` in the command is the port, or a free one."""
    running: list[Server] = []

    def start(command: list[str], collector: FakeCollector | None, port: int | None = None, **variables: str) -> Server:
        port = port or free_port()
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST", "FLASK"))
        }
        environment["PATH"] = os.path.dirname(sys.executable) + os.pathsep + environment["PATH"]
        environment["OTEL_BSP_SCHEDULE_DELAY"] = environment["OTEL_BLRP_SCHEDULE_DELAY"] = "200"
        environment["OTEL_METRIC_EXPORT_INTERVAL"] = "300"
        if collector is not None:
            environment.update(collector.environment())
        environment.update(variables)
        # A file, because a full pipe would stop the server.
        output = app_dir / f"output-{port}.txt"
        with output.open("w") as file:
            process = subprocess.Popen(
                [part.replace("{port}", str(port)) for part in command],
                cwd=app_dir,
                env=environment,
                text=True,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        server = Server(process, f"http://127.0.0.1:{port}", output)
        running.append(server)
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                return server
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    process.kill()
                    process.wait()
                    raise AssertionError(output.read_text()) from None
                time.sleep(0.05)

    yield start
    for server in running:
        # Its workers too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
