"""Each variable of OpenTelemetry that is followed changes what a small app sends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry import environment_variables as api_variables
from opentelemetry.sdk import environment_variables as sdk_variables

from otelflask.testing import FakeCollector
from tests import environment_page
from tests.environment_page import VARIABLES, Sent, Variable

ROOT = Path(__file__).parents[2]
APP = """
import logging
import flask
import sqlalchemy
from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext

import otelflask

app = flask.Flask("shop")
engine = sqlalchemy.create_engine("sqlite://")
text = "a text of forty characters, or some more"

@app.get("/lamps/<int:lamp>")
def lamp(lamp):
    logging.getLogger("shop").warning("counted", extra={"lamps": 3, "text": text})
    links = [Link(SpanContext(number, 2, True), {"a": 1, "b": 2}) for number in (1, 2)]
    with trace.get_tracer("shop").start_as_current_span("own", links=links) as span:
        span.set_attributes({"a": text, "b": text, "c": text})
        span.add_event("one", {"a": 1, "b": 2})
        span.add_event("two", {"a": 1, "b": 2})
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
    return "ok"

@app.get("/broken")
def broken():
    raise LookupError("no lamp")

otelflask.init(app)
client = app.test_client()
client.get("/lamps/1", headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
client.get("/broken")
"""


def _sent(collector: FakeCollector, environ: dict[str, str]) -> Sent:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL")}
    environment |= collector.environment() | {"OTELFLASK_RUNTIME_METRICS": "false"} | environ
    done = subprocess.run([sys.executable, "-c", APP], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return Sent(collector, done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize(
    "variable", [each for each in VARIABLES if each.holds is not None], ids=lambda variable: variable.names[0]
)
def test_a_variable_is_followed(variable: Variable, without: Sent) -> None:
    with FakeCollector() as collector:
        sent = _sent(collector, dict(variable.environ(collector)))
        assert variable.holds is not None
        assert variable.holds(sent), sent.said
        # It is the variable that makes the difference.
        assert variable.names[0].endswith(("_ENDPOINT", "_PROTOCOL")) or not _holds(variable, without)


@pytest.fixture(scope="module")
def without() -> Sent:
    """What is sent without any of them."""
    with FakeCollector() as collector:
        return _sent(collector, {})


def _holds(variable: Variable, sent: Sent) -> bool:
    try:
        return variable.holds is not None and variable.holds(sent)
    except (KeyError, ValueError):
        return False


def test_the_page_explains_all_variables_of_the_sdk() -> None:
    known = {name for module in (api_variables, sdk_variables) for name in vars(module) if name.startswith("OTEL_")}
    assert known - environment_page.names() == set()


def test_the_page_is_made_from_the_table() -> None:
    assert (ROOT / "docs" / "environment.md").read_text() == environment_page.page(), "run `make docs`"
