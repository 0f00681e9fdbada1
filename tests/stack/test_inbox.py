"""The inbox of errors on a real Loki: counts, states, alerts, and from a group down to its trace and log lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.source import inbox
from tests.servers import free_port
from tests.stack import driver, provisioned
from tests.stack.backends import Backends, eventually, get, post
from tests.stack.compose import ROOT, Stack

pytestmark = [pytest.mark.slow, pytest.mark.stack]

HOUR, DAY = 3_600, 86_400


@dataclass(frozen=True)
class Seen:
    """One or more occurrences of a group. Its errors may differ in their title."""

    seconds_ago: float
    count: int = 1
    release: str = "1"
    title: str = "KeyError in shop.x"


#: What happened → the state in the inbox, and the alerts that fire. Each case is a service of its own.
CASES: dict[str, tuple[list[Seen], str, set[str]]] = {
    "never seen before": ([Seen(5)], "new", {"NewErrorGroup"}),
    "seen every few hours": ([Seen(3 * DAY), Seen(5 * HOUR), Seen(5)], "known", set()),
    "known by another title": ([Seen(5 * HOUR), Seen(5, title="TypeError in shop.x")], "known", set()),
    "back after two quiet days": ([Seen(3 * DAY), Seen(2 * DAY), Seen(5)], "back", {"ErrorGroupBack"}),
    "back in a new release": (
        [Seen(3 * DAY), Seen(5 * HOUR), Seen(5, release="2")],
        "new release",
        {"ErrorGroupBack"},
    ),
    "seen all the time, in a new release too": (
        [Seen(5 * HOUR), Seen(HOUR / 2), Seen(5, release="2")],
        "new release",
        set(),
    ),
    "seldom, and now often": ([Seen(5 * HOUR, 10), Seen(5, 50)], "known", {"ErrorGroupSpike"}),
    "born nine minutes ago, and often": ([Seen(9 * 60, 45), Seen(5, 45)], "new", {"NewErrorGroup"}),
    "often for two hours": ([Seen(2 * HOUR, 50), Seen(HOUR / 2, 300), Seen(5, 50)], "known", set()),
    "often, as always": ([Seen(5 * HOUR, 5_000), Seen(5, 50)], "known", set()),
}


def _record(seen: Seen, now: float) -> dict[str, Any]:
    attributes = {
        "otelflask.error.fingerprint": {"stringValue": "00f1"},
        "otelflask.error.group": {"stringValue": seen.title},
        "otelflask.error.count": {"intValue": str(seen.count)},
    }
    return {
        "timeUnixNano": str(int((now - seen.seconds_ago) * 1e9)),
        "eventName": "otelflask.error_group",
        "body": {"stringValue": seen.title},
        "attributes": [{"key": key, "value": value} for key, value in attributes.items()],
    }


@pytest.fixture(scope="module")
def told(whole_stack: Stack) -> Backends:
    """All cases, sent through the collector, oldest first, and written to where past days are searched."""
    now = time.time()
    resources = [
        {
            "resource": {
                "attributes": [
                    {"key": "service.name", "value": {"stringValue": case}},
                    {"key": "service.version", "value": {"stringValue": seen.release}},
                ]
            },
            "scopeLogs": [{"scope": {"name": "otelflask.errors"}, "logRecords": [_record(seen, now)]}],
        }
        for case, (occurrences, _, _) in CASES.items()
        for seen in occurrences
    ]
    body = json.dumps({"resourceLogs": resources}).encode()
    post(f"{whole_stack.url['otlp_http']}/v1/logs", body, "application/json")
    query = (
        'count(sum by (service_name) (count_over_time({report="group"} | otelflask_error_fingerprint="00f1" [10m])))'
    )
    arrived = eventually(
        lambda: whole_stack.backends.logql_instant(query),
        lambda found: bool(found) and found[0]["value"][1] == str(len(CASES)),
    )
    assert arrived
    post(f"{whole_stack.url['loki']}/flush", b"", "text/plain")
    days = query.replace("10m", "7d").replace("count(", "sum(", 1)
    total = str(sum(len(occurrences) for occurrences, _, _ in CASES.values()))
    found = eventually(
        lambda: whole_stack.backends.logql_instant(days), lambda found: bool(found) and found[0]["value"][1] == total
    )
    assert found[0]["value"][1] == total
    return whole_stack.backends


def _fill_in(query: str, service: str) -> str:
    values = {"__range": "600s", "__auto": "60s", "service": service, "environment": ".*", "route": ".*"}
    return provisioned.fill_in(query, values)


@pytest.mark.parametrize("case", CASES)
def test_the_inbox_shows_a_groups_state(stack: Stack, told: Backends, case: str) -> None:
    (answer,) = told.logql_instant(_fill_in(inbox.state(), case))
    assert inbox.STATES[int(answer["value"][1])] == CASES[case][1]


def _is_about_groups(rule: dict[str, Any]) -> bool:
    return provisioned.source_of(rule) == "loki" and bool(rule["execErrState"] != "Alerting")


@pytest.mark.parametrize("case", CASES)
def test_an_alert_fires_for_a_group_that_is_news(stack: Stack, told: Backends, case: str) -> None:
    firing = set()
    for name, rule in provisioned.alerts().items():
        if _is_about_groups(rule):
            found = told.logql_instant(provisioned.alert_expression(rule))
            firing.update(name for series in found if series["metric"]["service_name"] == case)
    assert firing == CASES[case][2]


def test_an_alert_about_a_group_says_how_often_it_occurred(stack: Stack, told: Backends) -> None:
    (found,) = [
        series
        for series in told.logql_instant(provisioned.alert_expression(provisioned.alerts()["ErrorGroupSpike"]))
        if series["metric"]["service_name"] == "seldom, and now often"
    ]
    # Of one record, which counts fifty.
    assert found["value"][1] == "50"


def test_every_alert_about_groups_has_a_case() -> None:
    asked = {name for name, rule in provisioned.alerts().items() if _is_about_groups(rule)}
    assert set().union(*(alerts for _, _, alerts in CASES.values())) == asked


def test_first_seen_is_when_it_was_seen_first_however_short_the_time_shown(stack: Stack, told: Backends) -> None:
    (answer,) = told.logql_instant(_fill_in(inbox.first_seen(), "seen every few hours"))
    assert abs(time.time() - float(answer["value"][1]) / 1000 - 3 * DAY) < HOUR


def test_reports_and_their_counts_are_kept_longer_than_other_lines(stack: Stack) -> None:
    with urllib.request.urlopen(f"{stack.url['loki']}/config", timeout=30) as answer:
        limits = yaml.safe_load(answer.read())["limits_config"]
    (longer,) = limits["retention_stream"]
    assert (longer["selector"], longer["period"], limits["retention_period"]) == ('{report=~".+"}', "90d", "1w")


def test_masked_local_variables_stay_json_on_their_way_through_the_collector(stack: Stack) -> None:
    frames = json.dumps([{"file": "shop.py", "source": 'token="[redacted]"', "variables": {"password": "[redacted]"}}])
    record = {
        "timeUnixNano": str(time.time_ns()),
        "eventName": "exception",
        "body": {"stringValue": "KeyError: x"},
        "attributes": [{"key": "otelflask.error.frames", "value": {"stringValue": frames}}],
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "masked"}}]}
    body = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]}
    post(f"{stack.url['otlp_http']}/v1/logs", json.dumps(body).encode(), "application/json")
    (line,) = eventually(lambda: stack.backends.logql('{report="whole",service_name="masked"}'))
    assert json.loads(line["stream"]["otelflask_error_frames"]) == json.loads(frames)


@pytest.fixture(scope="module")
def shop(whole_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the shop with four workers, in an environment of its own."""
    folder = tmp_path_factory.mktemp("shop")
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST"))}
    environment.update(
        OTEL_EXPORTER_OTLP_ENDPOINT=whole_stack.url["otlp_http"],
        OTEL_BLRP_SCHEDULE_DELAY="200",
        OTELFLASK_ENVIRONMENT="four-workers",
        # Whichever worker gets the requests, it may report each of them.
        OTELFLASK_REPORTS_PER_MINUTE="50",
        SHOP_DATABASE_URL=f"sqlite:///{folder / 'shop.sqlite3'}",
        PYTHONPATH=str(ROOT),
    )
    command = [sys.executable, "-m", "gunicorn", "otelflask.demo.shop:create_app()", "--bind", f"127.0.0.1:{port}"]
    with (Path(folder) / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [*command, "--workers", "4", "--log-level", "critical"],
            env=environment,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return driver.request(address, "/ping").status == 200
        except OSError:
            return False

    try:
        assert eventually(answers, seconds=30)
        yield address
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def sent(shop: str) -> list[driver.Sent]:
    """Fifty errors from two call sites."""
    paths = ["/simulate-error", "/simulate-error?at=checkout"] * 25
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda path: driver.request(shop, path), paths))


OF_SHOP = {"service": "shop", "environment": "four-workers", "route": ".*", "__range": "900s", "__auto": "60s"}


def _groups(backends: Backends) -> dict[str, int]:
    found = backends.logql_instant(provisioned.fill_in(inbox.occurrences(inbox.IN_TIME), OF_SHOP))
    return {series["metric"]["otelflask_error_fingerprint"]: int(series["value"][1]) for series in found}


def test_fifty_errors_from_two_call_sites_in_four_workers_are_two_groups(stack: Stack, sent: list[driver.Sent]) -> None:
    groups = eventually(lambda: _groups(stack.backends), lambda groups: sum(groups.values()) == 50)
    assert sorted(groups.values()) == [25, 25]


def _links(dashboard: str, panel: str) -> dict[str, str]:
    (found,) = [item for item in provisioned.dashboards()[dashboard]["panels"] if item["title"] == panel]
    return {
        link["title"]: link["url"]
        for override in found["fieldConfig"]["overrides"]
        for item in override["properties"]
        if item["id"] == "links"
        for link in item["value"]
    }


@pytest.mark.needs("tempo")
def test_from_a_groups_row_to_a_trace_and_its_log_lines(stack: Stack, sent: list[driver.Sent]) -> None:
    groups = eventually(lambda: _groups(stack.backends), lambda groups: len(groups) == 2)
    traces = set()
    for group in groups:
        page = _links("errors.json", "Inbox")["Open this group"].replace("${__data.fields.Fingerprint}", group)
        opened = urllib.parse.parse_qs(urllib.parse.urlsplit(page).query)
        assert page.startswith("/d/otelflask-error-group?")
        assert opened["var-group"] == [group]
        (reports,) = [
            query for query in provisioned.panel_queries("shop") if query.where == "error-group.json / Reports / A"
        ]
        lines = stack.backends.logql(reports.text.replace(provisioned.A_GROUP, group))
        # The load's shop has the same bugs, and so the same groups.
        own = [line["stream"] for line in lines if line["stream"]["deployment_environment_name"] == "four-workers"]
        ids = {stream["trace_id"] for stream in own}
        assert len(ids) == 25
        traces |= ids
    assert traces == {request.trace_id for request in sent}

    trace_id = sent[0].trace_id
    links = _links("error-group.json", "Reports")

    def pane(title: str) -> str:
        query = json.loads(urllib.parse.unquote(links[title].partition("panes=")[2]))["a"]["queries"][0]
        text = str(query.get("expr") or query["query"])
        return provisioned.fill_in(text.replace("${__value.raw}", trace_id), OF_SHOP)

    assert pane("Open the trace") == trace_id
    assert eventually(lambda: stack.backends.trace(trace_id)["resourceSpans"])
    lines = stack.backends.logql(pane("Its log lines"))
    assert {line["stream"]["trace_id"] for line in lines} == {trace_id}
    assert {line["stream"].get("http_request_id") for line in lines} >= {sent[0].serial}


@pytest.mark.needs("grafana", "mailpit")
def test_each_of_the_two_groups_is_mailed_once(stack: Stack, sent: list[driver.Sent]) -> None:
    groups = eventually(lambda: _groups(stack.backends), lambda groups: len(groups) == 2)

    def mails() -> list[str]:
        listed = get(f"{stack.url['mail']}/api/v1/messages")["messages"]
        found = [json.dumps(get(f"{stack.url['mail']}/api/v1/message/{item['ID']}")) for item in listed]
        return [mail for mail in found if "four-workers" in mail and "was never seen before" in mail]

    found = eventually(mails, lambda found: len(found) >= 2, seconds=240)
    assert [sum(group in mail for mail in found) for group in groups] == [1, 1]
    assert all("var-service=shop" in mail and "var-environment=four-workers" in mail for mail in found)
