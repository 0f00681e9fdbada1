"""Limits of the user hold wherever something of an app is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otelflask._internal import event_names
from otelflask._internal.limits import cut
from otelflask._internal.settings import SettingError, Settings
from otelflask._internal.testing.collector import attributes_of
from otelflask._internal.wiring import providers
from otelflask.testing import FakeCollector

SCRIPT = """
import flask, logging, os, otelflask
from opentelemetry import trace

LENGTH = int(os.environ.get("LENGTH", 300))

class Thing:
    def __str__(self):
        return "t" * LENGTH

app = flask.Flask("shop")

@app.get("/")
def index():
    span = trace.get_current_span()
    span.set_attribute("thing", Thing())
    span.set_attribute("things", [Thing(), "s" * LENGTH])
    span.add_event("seen", {f"extra{n}": n for n in range(20)})
    app.logger.error("line", extra={f"extra{n}": Thing() for n in range(20)})
    otelflask.event("order.placed", **{f"extra{n}": Thing() for n in range(20)})
    with trace.get_tracer("app").start_as_current_span("own") as own:
        own.set_attributes({f"extra{n}": "s" * 300 for n in range(20)})
    raise LookupError("m" * LENGTH)

otelflask.init(app, runtime_metrics=False)
app.test_client().get("/?q=" + "q" * 300)
otelflask.flush()
"""


def _sent(collector: FakeCollector, **variables: str) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST"))}
    subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**environ, **collector.environment(), **variables},
        check=True,
        capture_output=True,
    )


def _longest(attributes: dict[str, Any]) -> int:
    texts = [item for value in attributes.values() for item in (value if isinstance(value, list) else [value])]
    return max(len(text) for text in texts if isinstance(text, str))


def test_no_span_event_or_record_has_more_attributes_than_the_limit(fake_collector: FakeCollector) -> None:
    _sent(fake_collector, OTEL_ATTRIBUTE_COUNT_LIMIT="4")
    assert len(fake_collector.logs) >= 4
    for item in (*fake_collector.spans, *fake_collector.logs):
        assert len(item.attributes) <= 4, item.name
        assert (
            getattr(item.message, "event_name", "") == event_names.START or item.message.dropped_attributes_count > 0
        ), item.name
    events = [event for span in fake_collector.spans for event in span.message.events]
    assert len(events) == 2
    assert max(len(event.attributes) for event in events) <= 4


def test_what_tells_a_report_from_others_comes_before_what_a_limit_leaves_out(fake_collector: FakeCollector) -> None:
    _sent(fake_collector, OTEL_ATTRIBUTE_COUNT_LIMIT="4")
    reports = [record for record in fake_collector.logs if record.message.event_name == "exception"]
    assert reports
    assert all("otelflask.error.fingerprint" in record.attributes for record in reports)
    counts = [record for record in fake_collector.logs if record.message.event_name == "otelflask.error_group"]
    assert counts
    assert all("otelflask.error.count" in record.attributes for record in counts)


def test_what_a_request_was_and_became_comes_before_the_rest(fake_collector: FakeCollector) -> None:
    _sent(fake_collector, OTEL_ATTRIBUTE_COUNT_LIMIT="5")
    (request,) = [span for span in fake_collector.spans if span.name == "GET /"]
    (line,) = [record for record in fake_collector.logs if record.message.event_name == "http.server.request"]
    for item in (request, line):
        assert set(item.attributes) == {
            "http.request.method",
            "http.response.status_code",
            "http.route",
            "error.type",
            "url.path",
        }


def test_no_value_is_longer_than_the_limit(fake_collector: FakeCollector) -> None:
    _sent(fake_collector, OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="100")
    for item in (*fake_collector.spans, *fake_collector.logs):
        if getattr(item.message, "event_name", "") == event_names.START:
            # It has a number alone.
            continue
        attributes = {name: value for name, value in item.attributes.items() if name != "exception.stacktrace"}
        assert _longest(attributes) <= 100, item.name


@pytest.mark.parametrize(
    ("variables", "of_spans", "of_logs"),
    [
        ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "5"}, 5, 20),
        ({"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "5"}, 20, 5),
        ({"OTEL_ATTRIBUTE_COUNT_LIMIT": "7", "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "5"}, 7, 5),
    ],
)
def test_a_signals_own_count_goes_before_the_common_one(
    fake_collector: FakeCollector, variables: dict[str, str], of_spans: int, of_logs: int
) -> None:
    _sent(fake_collector, **variables)
    (own,) = [span for span in fake_collector.spans if span.name == "own"]
    (event,) = [record for record in fake_collector.logs if record.name == "order.placed"]
    assert (len(own.attributes), len(event.attributes)) == (of_spans, of_logs)


@pytest.mark.parametrize(
    ("variables", "of_spans", "of_logs"),
    [
        ({"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "50"}, 50, 300),
        ({"OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": "50"}, 300, 50),
    ],
)
def test_a_signals_own_length_goes_before_the_common_one(
    fake_collector: FakeCollector, variables: dict[str, str], of_spans: int, of_logs: int
) -> None:
    _sent(fake_collector, **variables)
    (own,) = [span for span in fake_collector.spans if span.name == "own"]
    (event,) = [record for record in fake_collector.logs if record.name == "order.placed"]
    assert (_longest(own.attributes), _longest(event.attributes)) == (of_spans, of_logs)
    (request,) = [span for span in fake_collector.spans if span.name == "GET /"]
    assert len(request.attributes["thing"]) == of_spans


def test_longer_values_are_kept_whole_where_the_limit_allows_them(fake_collector: FakeCollector) -> None:
    _sent(fake_collector, OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="100000", LENGTH="20000")
    (request,) = [span for span in fake_collector.spans if span.name == "GET /"]
    assert request.attributes["things"] == ["t" * 20_000, "s" * 20_000]
    (event,) = request.message.events[-1:]
    assert attributes_of(event.attributes)["exception.message"] == "m" * 20_000
    (placed,) = [record for record in fake_collector.logs if record.name == "order.placed"]
    assert placed.attributes["extra0"] == "t" * 20_000


def test_files_have_the_limits_of_log_records(fake_collector: FakeCollector, tmp_path: Path) -> None:
    _sent(fake_collector, OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT="5", OTELFLASK_LOG_DIR=str(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "app.log").read_text().splitlines()]
    (line,) = [line for line in lines if line["message"] == "line"]
    assert len([name for name in line if name.startswith("extra")]) <= 5


def test_a_limit_that_is_no_number_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    with pytest.raises(SettingError, match=r"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT.*'?many'?.*allowed is a whole number"):
        providers.build(Settings(), "shop")


@pytest.mark.parametrize(("length", "kept"), [(0, ""), (1, "…"), (2, "t…"), (4, "text")])
def test_a_text_is_never_longer_than_it_may_be(length: int, kept: str) -> None:
    assert cut("text", length) == kept


def test_what_a_line_has_beyond_the_limit_is_counted(fake_collector: FakeCollector) -> None:
    _sent(fake_collector, OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT="5")
    (line,) = [
        record
        for record in fake_collector.logs
        if record.message.body.string_value == "line" and not record.message.event_name
    ]
    assert len(line.attributes) == 5
    # Twenty attributes of its own; ours (source location, request) are dropped as well.
    assert line.message.dropped_attributes_count >= 15
