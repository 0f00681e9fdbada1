"""Zero code under gunicorn: telemetry starts with the import of Flask, whatever imports it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otelflask.testing import FakeCollector

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
SENDING = """
import logging
import flask, sqlalchemy
app = flask.Flask("shop")
engine = sqlalchemy.create_engine("sqlite://")
@app.get("/lamps")
def lamps():
    logging.getLogger("shop").warning("a line")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
    return "ok"
{init}
assert app.test_client().get("/lamps").data == b"ok"
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


def _sent(code: str, command: list[str], **variables: str) -> tuple[set[str], set[str], str]:
    """The spans and the lines that a process sends, by name, and what it says."""
    with FakeCollector() as collector:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL")}
        environment |= collector.environment() | variables
        done = subprocess.run([*command, sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return {span.name for span in collector.spans}, {line.name for line in collector.logs}, done.stderr


@pytest.mark.parametrize(
    ("disabled", "spans", "has_line"),
    [
        ("flask", {"SELECT"}, True),
        ("sqlalchemy,logging", {"GET /lamps"}, False),
        ("redis", {"GET /lamps", "SELECT"}, True),
        ("*", set(), False),
    ],
)
def test_zero_code_leaves_out_what_the_user_disables(disabled: str, spans: set[str], has_line: bool) -> None:
    command = [str(Path(sys.executable).with_name("opentelemetry-instrument"))]
    found, lines, _ = _sent(SENDING.format(init=""), command, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled)
    assert found == spans
    assert ("a line" in lines) is has_line


def test_init_records_its_app_all_the_same_and_says_so() -> None:
    code = SENDING.format(init="import otelflask; otelflask.init(app)")
    found, lines, said = _sent(code, [], OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="flask,logging")
    assert found == {"GET /lamps", "SELECT"}
    assert "a line" not in lines
    assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS turns Flask off for zero code only" in said


def test_a_process_that_zero_code_starts_is_not_taken_for_disabled() -> None:
    started = SENDING.format(init="")
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {started!r}], check=True)"
    command = [str(Path(sys.executable).with_name("opentelemetry-instrument"))]
    found, lines, _ = _sent(code, command)
    assert found == {"GET /lamps", "SELECT"}
    assert "a line" in lines


def test_detectors_of_the_resource_are_used_where_they_are_named() -> None:
    code = SENDING.format(init="import otelflask; otelflask.init(app)")
    for variables, has_command in ({}, False), ({"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "process"}, True):
        with FakeCollector() as collector:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL")}
            environment |= collector.environment() | variables
            subprocess.run([sys.executable, "-c", code], env=environment, check=True)
            assert ("process.command" in collector.spans[0].resource) is has_command
            assert collector.spans[0].resource["service.name"] == "shop"
