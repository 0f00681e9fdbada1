"""Where Grafana's links lead: to the trace, lines and series that they belong to. Read from the provisioned files."""

from __future__ import annotations

import json
import re
import urllib.parse
from typing import Any

import pytest
import yaml

from tests.stack import driver, grafana_api, provisioned
from tests.stack.backends import eventually
from tests.stack.compose import Stack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.stack,
    pytest.mark.needs("shop", "postgres", "redis", "tempo"),
]

ROUTE = "/failing-dependency"


def _source(uid: str) -> dict[str, Any]:
    """A data source as it is provisioned; `$$` is a `$` in the file."""
    text = (provisioned.GRAFANA / "provisioning" / "datasources" / "otelflask.yaml").read_text()
    sources: list[dict[str, Any]] = yaml.safe_load(text.replace("$$", "$"))["datasources"]
    return next(source for source in sources if source["uid"] == uid)


@pytest.fixture(scope="module")
def failed(whole_stack: Stack) -> driver.Sent:
    """A failed request that has arrived everywhere."""
    if {"shop", "tempo"} & whole_stack.missing:
        pytest.skip("no image can be had for shop or tempo")
    sent = driver.request(whole_stack.url["shop"], ROUTE)
    backends = whole_stack.backends
    assert eventually(lambda: backends.traceql(f'{{ trace:id="{sent.trace_id}" && span:kind=server }}'))
    query = f'{{service_name="shop"}} | trace_id="{sent.trace_id}"'
    assert len(eventually(lambda: backends.logql(query), lambda found: len(found) >= 2)) >= 2
    return sent


def _tags(source: dict[str, Any], link: str) -> str:
    """`$__tags`: attributes of the span under the names of the other side."""
    attributes = {"service.name": "shop", "http.route": ROUTE}
    return ",".join(f'{tag["value"]}="{attributes[tag["key"]]}"' for tag in source["jsonData"][link]["tags"])


def test_a_trace_leads_to_its_log_lines(stack: Stack, failed: driver.Sent) -> None:
    source = _source("tempo")
    link = source["jsonData"]["tracesToLogsV2"]
    query = link["query"].replace("${__tags}", _tags(source, "tracesToLogsV2"))
    query = query.replace("${__trace.traceId}", failed.trace_id)
    assert link["datasourceUid"] == _source("loki")["uid"]
    lines = stack.backends.logql(query)
    assert {line["stream"]["trace_id"] for line in lines} == {failed.trace_id}
    assert {line["stream"].get("http_request_id") for line in lines} >= {failed.serial}


def test_a_trace_leads_to_its_errors(stack: Stack, failed: driver.Sent) -> None:
    correlation = _source("tempo")["correlations"][0]
    query = correlation["config"]["target"]["expr"].replace("${traceID}", failed.trace_id)
    lines = stack.backends.logql(query)
    assert any("currency service" in value[1] for line in lines for value in line["values"])
    assert {line["stream"]["trace_id"] for line in lines} == {failed.trace_id}


def test_a_trace_leads_to_the_metrics_of_its_route(stack: Stack, failed: driver.Sent) -> None:
    source = _source("tempo")
    link = source["jsonData"]["tracesToMetrics"]
    assert len(link["queries"]) == 3
    for query in link["queries"]:
        text = query["query"].replace("$__tags", _tags(source, "tracesToMetrics"))
        text = text.replace("$__rate_interval", "5m")
        answer = eventually(lambda text=text: stack.backends.promql(text))
        assert answer, query["name"]


@pytest.mark.needs("grafana")
def test_a_span_of_a_request_leads_to_the_dashboard_of_its_route(stack: Stack, failed: driver.Sent) -> None:
    link = _source("tempo")["correlations"][1]["config"]
    (route,) = link["transformations"]
    query = {
        "refId": "A",
        "datasource": {"type": "tempo", "uid": "tempo"},
        "queryType": "traceId",
        "query": failed.trace_id,
    }
    (frame,) = grafana_api.frames(stack.url["grafana"], query)
    columns = dict(zip((field["name"] for field in frame["schema"]["fields"]), frame["data"]["values"], strict=True))
    # Grafana's page searches the attributes of a span as JSON.
    found = [
        re.findall(route["expression"], json.dumps(attributes, separators=(",", ":")))
        for attributes in columns[route["field"]]
    ]
    assert [ROUTE] in found
    assert {"serviceName", route["mapValue"]} == set(re.findall(r"\$\{(\w+)\}", link["target"]["url"]))


def test_a_log_line_leads_to_its_trace(stack: Stack, failed: driver.Sent) -> None:
    link, *others = _source("loki")["jsonData"]["derivedFields"]
    assert {item["matcherType"] for item in (link, *others)} == {"label"}
    (line, *_) = stack.backends.logql(f'{{service_name="shop"}} | http_request_id="{failed.serial}"')
    trace_id = link["url"].replace("${__value.raw}", line["stream"][link["matcherRegex"]])
    assert trace_id == failed.trace_id
    assert stack.backends.trace(trace_id)["resourceSpans"]


def test_an_error_line_leads_to_the_report_and_this_to_its_group(stack: Stack, failed: driver.Sent) -> None:
    _, to_reports, to_group = _source("loki")["jsonData"]["derivedFields"]
    of_request = f'{{service_name="shop",report=""}} | trace_id="{failed.trace_id}" | severity_text="ERROR"'
    line = eventually(lambda: stack.backends.logql(of_request))[0]["stream"]
    assert "otelflask_error_fingerprint" not in line
    query = to_reports["url"].replace("${__value.raw}", line[to_reports["matcherRegex"]])
    report = eventually(lambda: stack.backends.logql(query))[0]["stream"]
    url = to_group["url"].replace("${__value.raw}", report[to_group["matcherRegex"]])
    variables = {item["name"] for item in provisioned.dashboards()["error-group.json"]["templating"]["list"]}
    group = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
    assert url.startswith("/d/otelflask-error-group?")
    assert {name.removeprefix("var-") for name in group if name not in ("from", "to")} <= variables
    counted = f'{{report="group",service_name="shop"}} | otelflask_error_fingerprint="{group["var-group"][0]}"'
    assert eventually(lambda: stack.backends.logql(counted))


def test_an_exemplar_leads_to_a_trace_of_its_route(stack: Stack, failed: driver.Sent) -> None:
    (link,) = _source("prometheus")["jsonData"]["exemplarTraceIdDestinations"]
    query = f'http_server_request_duration_seconds_bucket{{http_route="{ROUTE}"}}'
    found = eventually(lambda: stack.backends.exemplars(query))
    assert found
    trace = stack.backends.trace(found[-1]["labels"][link["name"]])
    assert f"GET {ROUTE}" in json.dumps(trace)


def test_an_errors_row_leads_to_its_lines_and_to_its_traces(stack: Stack, failed: driver.Sent) -> None:
    dashboard = provisioned.dashboards()["errors.json"]
    (table,) = [panel for panel in dashboard["panels"] if panel["title"] == "Kinds of errors"]
    links = {
        link["title"]: link["url"]
        for override in table["fieldConfig"]["overrides"]
        for item in override["properties"]
        if item["id"] == "links"
        for link in item["value"]
    }
    values = {**provisioned.default_values(dashboard, "shop"), "__data.fields.Route": ROUTE}

    def query(title: str) -> str:
        pane = json.loads(urllib.parse.unquote(links[title].partition("panes=")[2]))["a"]
        text = pane["queries"][0].get("expr") or pane["queries"][0]["query"]
        return provisioned.fill_in(text.replace("${__data.fields.Route}", ROUTE), values)

    lines = stack.backends.logql(query("Log lines"))
    assert failed.serial in {line["stream"]["http_request_id"] for line in lines}
    traces = stack.backends.traceql(query("Traces"), limit=1000)
    assert failed.trace_id in {trace["traceID"].zfill(32) for trace in traces}
