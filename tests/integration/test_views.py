"""A request means the same, whether its signals are views of a tuple or objects that the user sees."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from otelflask.testing import FakeCollector

SCRIPT = Path(__file__).parent / "apps" / "views.py"
#: What differs from one run to the next.
CHANGING = re.compile(
    r"(trace|span|parent)_?id$|time_?unix_?nano$|^observed|^otelflask.error|^http.server.request.duration$"
    r"|^http.request.id$|^otelflask.db.query.duration$|^process.pid$|^service.instance.id$",
    re.I,
)
DURATION = re.compile(r"\d+\.\d ms")


def _constant(value: Any) -> Any:
    """A message without what differs, and with its attributes by name."""
    if isinstance(value, list):
        if value and all(isinstance(item, dict) and set(item) <= {"key", "value"} for item in value):
            pairs = {item["key"]: _constant(item.get("value")) for item in value}
            return {key: item for key, item in sorted(pairs.items()) if not CHANGING.search(key)}
        return [_constant(item) for item in value]
    if isinstance(value, dict):
        return {key: _constant(item) for key, item in sorted(value.items()) if not CHANGING.search(key)}
    return DURATION.sub("N ms", value) if isinstance(value, str) else value


def _items(collector: FakeCollector) -> dict[str, list[str]]:
    spans, logs = (
        [repr((_constant(MessageToDict(item.message)), item.scope)) for item in items if item.scope != "otelflask"]
        for items in (collector.spans, collector.logs)
    )
    points = [
        repr((sorted(attributes.items()), point.count, [len(point.bucket_counts), bool(point.exemplars)]))
        for name in (
            "http.server.request.duration",
            "http.server.request.body.size",
            "http.server.response.body.size",
            "db.client.operation.duration",
        )
        for _, attributes, point in collector.points(name)
    ]
    return {"spans": sorted(spans), "logs": sorted(logs), "points": sorted(points)}


@pytest.fixture(scope="module", params=["few", "more"])
def arrived(request: pytest.FixtureRequest) -> dict[str, dict[str, list[str]]]:
    """What arrived both ways, with few attributes and with captured headers."""
    found = {}
    for mode in ("alone", "beside"):
        with FakeCollector() as collector:
            subprocess.run([sys.executable, str(SCRIPT), mode, request.param], env=collector.environment(), check=True)
            found[mode] = _items(collector)
    return found


@pytest.mark.parametrize("signal", ["spans", "logs", "points"])
def test_both_ways_send_the_same(arrived: dict[str, dict[str, list[str]]], signal: str) -> None:
    assert arrived["alone"][signal] == arrived["beside"][signal]
    assert len(arrived["alone"][signal]) >= 14


def test_nothing_secret_is_sent(arrived: dict[str, dict[str, list[str]]]) -> None:
    assert "hunter2" not in repr(arrived)
    assert "s3cr3t" not in repr(arrived)
