"""Whatever apps record is shown, without secrets."""

from __future__ import annotations

import re
from typing import Any

import flask
import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord

from tests.unit.live_page.conftest import VIEWS, Make, ask, link, shown


def test_secrets_are_masked(make: Make) -> None:
    app = make()
    ask(app, "/items/1?token=s3cr3t-value")
    assert "s3cr3t" not in ask(app, link(app, "requests", '/monitoring/traces/[^"]+')).text


@pytest.mark.parametrize(
    "told",
    [
        lambda app: app.logger.warning("odd", extra={"blob": b"\xff\x00", "of": object()}),
        lambda app: trace.get_current_span().set_attribute("http.response.status_code", "teapot"),
        lambda app: trace.get_current_span().set_attribute("db.response.returned_rows", 2**70),
        lambda app: trace.get_current_span().set_attribute("otelflask.db.query.duration", float("nan")),
        lambda app: trace.get_current_span().add_event("\ud800 lone", {"password": "s3cr3t"}),
        lambda app: trace.get_current_span().update_name("GET https://x.example/?token=s3cr3t-name"),
        lambda app: _emit(app, event_name="exception", body={"nested": [b"\xff", None]}),
        lambda app: _emit(app, timestamp=10**21, body="late"),
        lambda app: _emit(app, attributes={"otelflask.error.count": "no"}),
    ],
    ids=range(9),
)
def test_whatever_an_app_says_is_shown_and_ends_nothing(make: Make, told: Any) -> None:
    app = make()
    app.add_url_rule("/odd", "odd", lambda: (told(app), "odd")[1])
    ask(app, "/odd")
    ask(app, "/say")
    paths = [row[2] for row in shown(app)]
    assert "/say" in paths
    for view in VIEWS:
        assert ask(app, f"/monitoring/{view}").status_code == 200
    trace_page = ask(app, link(app, "requests?text=/odd", '/monitoring/traces/[^"]+'))
    assert trace_page.status_code == 200
    assert "s3cr3t" not in trace_page.text


def _emit(app: flask.Flask, **record: Any) -> None:
    logger = app.extensions["otelflask"].pipeline.logger_provider.get_logger("app")
    logger.emit(LogRecord(**record))


def test_a_text_of_megabytes_is_cut(make: Make) -> None:
    app = make()
    app.add_url_rule("/long", "long", lambda: (_emit(app, body="x" * 5_000_000), "long")[1])
    ask(app, "/long")
    assert len(ask(app, "/monitoring/logs").data) < 20_000
    assert len(ask(app, link(app, "requests", '/monitoring/traces/[^"]+')).data) < 100_000


def test_requests_of_one_trace_are_all_shown_and_each_leads_to_its_own_span(make: Make) -> None:
    app = make()
    for _ in range(3):
        ask(app, "/items/1", HTTP_TRACEPARENT=f"00-{'a' * 32}-{'b' * 16}-01")
    page = ask(app, "/monitoring/requests").text
    links = set(re.findall(f"/monitoring/traces/{'a' * 32}\\?span=[0-9a-f]{{16}}", page))
    assert len(links) == 3
