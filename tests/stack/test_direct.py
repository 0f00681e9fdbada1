"""An app without a collector: its logs go straight to Loki."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import pytest

from tests.stack.backends import eventually
from tests.stack.compose import Stack

pytestmark = [pytest.mark.slow, pytest.mark.stack]

APP = """
import logging, sys, flask, otelflask

app = flask.Flask("direct")
otelflask.init(app, runtime_metrics=False)
logging.getLogger("shop").setLevel(logging.INFO)

@app.get("/count")
def count():
    logging.getLogger("shop").info("counted %s", sys.argv[1], extra={"lamps": 3})
    otelflask.event("stock.counted", lamps=3)
    return "ok"

print(app.test_client().get("/count").headers["traceresponse"].split("-")[1])
"""


def test_lines_events_and_request_logs_arrive_with_their_trace(stack: Stack) -> None:
    marker = uuid.uuid4().hex
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST"))}
    environment.update(
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=f"{stack.url['loki']}/otlp/v1/logs",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
    )
    done = subprocess.run(
        [sys.executable, "-c", APP, marker], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    query = f'{{service_name="direct"}} | trace_id="{done.stdout.strip()}"'
    found = eventually(lambda: stack.backends.logql(query), lambda lines: len(lines) >= 3)
    texts = {value[1].split(" 200 ")[0] for line in found for value in line["values"]}
    assert texts == {f"counted {marker}", "stock.counted", "GET /count"}
    (line,) = [item["stream"] for item in found if item["values"][0][1] == f"counted {marker}"]
    assert line["lamps"] == "3"
