"""The process in which the scenarios of a mode run, one after the other.

`python -m tests.scenarios.child MODE FOLDER` calls `otelflask.init`; mode `zero` leaves that to
`opentelemetry-instrument`. After each scenario it prints what the client saw, as a line of JSON, and
waits for a line.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from typing import Any

import psutil
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

import otelflask
from tests.scenarios.app import make_app, make_nested_app, make_second_app
from tests.scenarios.client import Answer, World
from tests.scenarios.steps import of_mode


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """No line: it has the time."""


class _Server(ThreadedWSGIServer):
    """Knows when the threads of its requests have ended, because spans end after the client has its response."""

    def __init__(self, app: Any) -> None:
        self._running = 0
        self._changed = threading.Condition()
        self.serves = threading.Event()
        super().__init__("127.0.0.1", 0, app, _QuietHandler)

    def service_actions(self) -> None:
        """Called in each round of `serve_forever`."""
        self.serves.set()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._running += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until no request is active. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._running == 0, 30):
                raise TimeoutError("a request does not end")


def _same_on_each_machine() -> None:
    """Replace the use of disk and memory by fixed values."""
    disk, memory = psutil.disk_usage, psutil.virtual_memory
    psutil.disk_usage = lambda path: disk(path)._replace(percent=50.0)
    psutil.virtual_memory = lambda: memory()._replace(percent=50.0)


def _job(mode: str) -> Answer:
    command = [sys.executable, "-m", "tests.scenarios.job", mode]
    if mode == "zero":
        command.insert(0, os.path.join(os.path.dirname(sys.executable), "opentelemetry-instrument"))
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=30, text=True, check=False)
    return {"exit code": done.returncode, "output": done.stdout}


def main(mode: str, folder: str) -> None:
    """Run the scenarios of a mode."""
    _same_on_each_machine()
    logging.getLogger().setLevel(logging.INFO)
    is_init = mode != "zero"
    app, second = make_app(folder, is_init), make_second_app(is_init)
    wsgi_apps = {"shop": app, "stock": second, "nested": make_nested_app(app, second)}
    servers = {name: _Server(wsgi_app) for name, wsgi_app in wsgi_apps.items()}
    for server in servers.values():
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        # One after the other, so that what they log has one order.
        if not server.serves.wait(30):
            raise TimeoutError("a server does not serve")

    def settle() -> None:
        for server in servers.values():
            server.wait()

    world = World(app, {name: server.port for name, server in servers.items()}, lambda: _job(mode), settle)
    for scenario in of_mode(mode):
        answer = scenario.act(world)
        settle()
        # Twice: the first call waits for mails, and the second sends their counts.
        is_sent = otelflask.flush(20) and otelflask.flush(20)
        print(json.dumps({"scenario": scenario.name, "answer": answer, "is_sent": is_sent}), flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
