"""Zero code under gunicorn: telemetry starts with the import of Flask, whatever imports it."""

from __future__ import annotations

import subprocess
import sys

import pytest

START = """
import sys
sys.orig_argv = ["python", "/usr/bin/gunicorn", "shop:app"]
from otelflask._internal.wiring.distro import Configurator
Configurator().configure()
assert "flask" not in sys.modules
{imported}
import flask
assert flask.Flask("shop").test_client().get("/").headers["traceresponse"]
"""
NO_EXPORT = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
IMPORTS = [
    "import flask",
    "from flask.app import Flask",
    "import otelflask.errors",
    "import otelflask.health",
    "import otelflask.breaker",
    "import otelflask.testing",
    "from otelflask import errors",
    "from otelflask import *",
    *(
        f"from otelflask import {name}"
        for name in ("event", "flush", "get_request_id", "init", "FlaskInstrumentor", "SQLAlchemyInstrumentor")
    ),
]


@pytest.mark.parametrize("imported", IMPORTS)
def test_telemetry_starts_with_the_first_import_of_flask(imported: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", START.format(imported=imported)]
    done = subprocess.run(command, capture_output=True, text=True, env=NO_EXPORT)
    assert done.returncode == 0, done.stderr
    assert "cannot be instrumented" not in done.stderr


def test_the_hooks_of_gunicorn_load_no_telemetry() -> None:
    code = (
        "import sys\nfrom otelflask.gunicorn import *\nworker_exit(None, None)\nworker_abort(None)\n"
        "assert 'flask' not in sys.modules and 'opentelemetry.sdk' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
