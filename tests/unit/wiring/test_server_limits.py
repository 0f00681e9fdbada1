"""What a server cannot do is said when it begins to serve."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import logging, socket, threading
from flask import Flask
import otelflask

logging.basicConfig(level=logging.INFO)
app = Flask("app")
otelflask.init(app)
{serve}
"""
FLASK = """
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, app, {options})
threading.Timer(0.1, server.shutdown).start()
server.serve_forever()
"""


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        (
            FLASK.format(options="processes=2"),
            "WARNING:otelflask:otelflask: with Flask's server with processes=, a",
        ),
        (FLASK.format(options="threaded=True"), "INFO:otelflask:otelflask: with Flask's server, SIGTERM cuts off"),
        ("import waitress.server", "INFO:otelflask:otelflask: with waitress, SIGTERM cuts off"),
        ("import gunicorn.arbiter; import waitress.server", "INFO:otelflask:otelflask: with gunicorn, a worker that"),
        ("", ""),
    ],
    ids=["processes", "threads", "waitress", "gunicorn", "none"],
)
def test_what_the_server_cannot_do_is_said_once(serve: str, said: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(serve=serve)]
    variables = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=variables, check=True)
    lines = [line for line in done.stderr.splitlines() if "otelflask: with" in line]
    assert [line[: len(said)] for line in lines] == [said] * bool(said), done.stderr
