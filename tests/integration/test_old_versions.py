"""With versions that are too old, an app runs as without otelflask, and one line says what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import NO_EXPORT
from tests.servers import beside

pytestmark = pytest.mark.slow

APP = """
import os
from flask import Flask
from sqlalchemy import create_engine, text

app = Flask("old")
engine = create_engine("sqlite://")

@app.get("/")
def one():
    with engine.begin() as connection:
        return str(connection.execute(text("SELECT 1")).scalar())

if os.environ.get("INIT"):
    import otelflask
    otelflask.init(app, user=lambda: "ada")

client = app.test_client()
print([(client.get(path).status_code, client.get(path).text) for path in ("/", "/missing")])
"""


def run(folder: Path, command: list[str], packages: Path, **variables: str) -> tuple[str, list[str]]:
    """The app's answers, and the lines on stderr."""
    (folder / "old.py").write_text(APP)
    environment = {**os.environ, **NO_EXPORT, "PYTHONPATH": str(packages), "PYTHONWARNINGS": "ignore", **variables}
    environment.pop("PYTEST_CURRENT_TEST", None)
    done = subprocess.run(
        [*command, "old.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout, done.stderr.splitlines()


@pytest.mark.parametrize(("packages", "name"), [("sqlalchemy-1.4", "SQLAlchemy 1.4"), ("flask-2.2", "Flask 2.2")])
@pytest.mark.parametrize("way", ["init", "zero code"])
def test_what_is_too_old_is_left_alone_and_named_once(tmp_path: Path, packages: str, name: str, way: str) -> None:
    older = beside(packages)
    plain, said = run(tmp_path, [sys.executable], older)
    assert plain.startswith("[(200, '1'), (404, ")
    assert said == []
    instrument = os.path.join(os.path.dirname(sys.executable), "opentelemetry-instrument")
    command = [sys.executable] if way == "init" else [instrument, sys.executable]
    ours, said = run(tmp_path, command, older, **({"INIT": "1"} if way == "init" else {}))
    # Error responses do not depend on SQLAlchemy.
    assert ours.partition("(404")[0] == plain.partition("(404")[0]
    if packages == "flask-2.2":
        assert ours == plain
    lines = [line for line in said if " is installed, but otelflask needs " in line]
    assert len(lines) == 1
    assert lines[0].partition(" WARNING: ")[2].startswith(name)
