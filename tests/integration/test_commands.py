"""``flask`` commands in processes of their own: what they send arrives before they end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otelflask._internal import attribute_names, event_names
from otelflask.testing import FakeCollector, Reply

pytestmark = pytest.mark.slow

APP = """
import logging
import click
from flask import Flask
__IMPORT__

app = Flask("shop")
__INIT__

@app.cli.command("recount")
@click.argument("how")
def recount(how):
    logging.getLogger("shop").warning("recounting")
    if how == "raises":
        raise LookupError("no such shelf")
    if how == "exits":
        raise SystemExit(3)
"""
BEFORE = {"init": [], "zero code": ["opentelemetry-instrument"]}


def _run(folder: Path, mode: str, how: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    source = APP.replace("__IMPORT__", "import otelflask" if mode == "init" else "")
    (folder / "shop.py").write_text(source.replace("__INIT__", "otelflask.init(app)" if mode == "init" else ""))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST"))}
    environment["PATH"] = os.path.dirname(sys.executable) + os.pathsep + environment["PATH"]
    command = [*BEFORE[mode], "flask", "--app", "shop", "recount", how]
    return subprocess.run(
        command, cwd=folder, env={**environment, **variables}, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(("how", "status"), [("well", 0), ("exits", 3), ("raises", 1)])
@pytest.mark.parametrize("mode", BEFORE)
def test_a_command_arrives_with_its_line_its_error_and_its_exit_status(
    tmp_path: Path, fake_collector: FakeCollector, mode: str, how: str, status: int
) -> None:
    done = _run(tmp_path, mode, how, fake_collector.environment())
    assert done.returncode == status, done.stderr
    (span,) = fake_collector.spans
    assert (span.name, span.attributes["process.exit.code"]) == ("flask recount", status)
    (line,) = [line for line in fake_collector.logs if line.message.event_name == event_names.JOB]
    (own,) = [line for line in fake_collector.logs if line.name == "recounting"]
    reports = [line for line in fake_collector.logs if line.message.event_name in event_names.REPORTS]
    assert len(reports) == (how == "raises")
    assert {item.message.trace_id for item in (line, own, *reports)} == {span.message.trace_id}
    ((_, attributes, point),) = fake_collector.points("otelflask.job.duration")
    assert (attributes[attribute_names.JOB_NAME], point.count) == ("flask recount", 1)


@pytest.mark.parametrize("receiver", ["away", "hangs"])
@pytest.mark.parametrize("mode", BEFORE)
def test_a_command_ends_in_time_where_nothing_can_be_sent(
    tmp_path: Path, fake_collector: FakeCollector, mode: str, receiver: str
) -> None:
    fake_collector.default = Reply(hang=True)
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    if receiver == "hangs":
        variables = fake_collector.environment()
    done = _run(tmp_path, mode, "exits", {**variables, "OTELFLASK_SHUTDOWN_TIMEOUT": "2"})
    assert done.returncode == 3
    assert "telemetry is not sent" in done.stderr
