"""Every query of every panel, variable, alert and rule, on a running stack with traffic. Read from the files."""

from __future__ import annotations

import dataclasses
import re

import pytest

from grafana.source.pipeline import FRESH_BACKENDS
from grafana.source.selectors import CHOSEN_SERVICE
from tests.stack import driver, provisioned
from tests.stack.backends import eventually
from tests.stack.compose import ROOT, Stack

pytestmark = [pytest.mark.slow, pytest.mark.stack]

#: Queries with an empty result while all is well.
ONE_OF_TWO = ": met in 3 days / "
NOTHING_IS_LOST = "pipeline.json / What was dropped, and why"
#: A group with everything that a report may have: raised in a request, after a log line.
A_FINGERPRINT = (
    'topk(1, sum by (otelflask_error_fingerprint) (count_over_time({service_name="shop",report="whole"}'
    ' | otelflask_error_breadcrumbs!=`` | otelflask_error_group=~"RuntimeError.*" [15m])))'
)
NEEDS = {"prometheus": (), "loki": (), "tempo": ("tempo",)}


def _needs(query: provisioned.Query) -> tuple[str, ...]:
    # Metrics of Tempo, and the collector's count for Tempo, are in Prometheus.
    if FRESH_BACKENDS in query.text:
        # An answer only while all three answer.
        return ("shop", "tempo")
    of_tempo = "tempo_distributor" in query.text or "exporter_sent_spans" in query.text
    return ("shop", "tempo") if of_tempo and "vector(0)" not in query.text else ("shop", *NEEDS[query.datasource])


def _parameters(queries: list[provisioned.Query]) -> list[object]:
    return [pytest.param(query, id=query.where, marks=pytest.mark.needs(*_needs(query))) for query in queries]


@pytest.fixture(scope="module")
def traffic(whole_stack: Stack) -> None:
    """Every kind of request, in addition to the load."""
    if {"shop", "postgres", "redis"} & whole_stack.missing:
        return
    shop = whole_stack.url["shop"]
    for path in ("/api/products", "/api/products/ratings", "/slow-query", "/simulate-error", "/failing-dependency"):
        for _ in range(3):
            driver.request(shop, path)
    driver.request(shop, "/slow-query", X_Profile="keep", X_Profile_Token="profile")
    whole_stack.run("exec", "-T", "shop", "flask", "--app", "otelflask.demo.shop:create_app", "deliver")
    # A circuit breaker opens and closes.
    driver.request(shop, "/simulate-outage?seconds=3", method="POST")
    for _ in range(6):
        driver.request(shop, "/api/products/7/purchase", method="POST", body='{"quantity": 1}')
    # Rates of five minutes need two samples, which come every 15 seconds; the days' rules are evaluated each minute.
    eventually(lambda: whole_stack.backends.promql("otelflask:slo_errors:ratio_rate3d"), seconds=150)


@pytest.mark.parametrize("query", _parameters(list(provisioned.panel_queries("shop"))))
def test_a_panels_query_has_an_answer(stack: Stack, traffic: None, query: provisioned.Query) -> None:
    if provisioned.A_GROUP in query.text:
        (fingerprint,) = stack.backends.logql_instant(A_FINGERPRINT)
        group = fingerprint["metric"]["otelflask_error_fingerprint"]
        query = dataclasses.replace(query, text=query.text.replace(provisioned.A_GROUP, group))
    if ONE_OF_TWO in query.where:
        # The colour says whether the objective is met: one of the two has a result.
        whole = query.text.replace(" >= scalar", " == bool scalar").replace(" < scalar", " == bool scalar")
        query = dataclasses.replace(query, text=whole)
    answer = eventually(
        lambda: stack.backends.ask(query), seconds=0 if query.where.startswith(NOTHING_IS_LOST) else 100
    )
    if query.where.startswith(NOTHING_IS_LOST):
        assert answer == []
    elif query.where.endswith("annotation Deployments"):
        # The version was seen for the first time when the stack started.
        assert [series["metric"]["service_version"] for series in answer] == ["1.0.0"]
    else:
        assert answer, query.text


@pytest.mark.needs("shop")
def test_the_share_of_errors_is_zero_where_nothing_failed(stack: Stack, traffic: None) -> None:
    queries = [query for query in provisioned.panel_queries("shop") if " / Share of errors / " in query.where]
    assert len(queries) == 2
    for query in queries:
        # This route is asked all the time, and has never failed.
        text = query.text.replace('http_route=~".*"', 'http_route="/api/products"')
        assert text != query.text
        answer = eventually(lambda text=text: stack.backends.promql(text))  # type: ignore[misc]
        assert [item["value"][1] for item in answer] == ["0"], text


@pytest.mark.needs("shop")
@pytest.mark.parametrize(
    ("where", "selector", "label"), [pytest.param(*item, id=item[0]) for item in provisioned.variable_queries("shop")]
)
def test_a_variables_query_has_values(stack: Stack, traffic: None, where: str, selector: str, label: str) -> None:
    assert eventually(lambda: stack.backends.label_values(selector, label))


@pytest.mark.needs("tempo", "shop")
@pytest.mark.parametrize(
    ("chosen", "found"), [("shop", {"shop"}), ("", {"shop", "shop-payments"})], ids=["a service", "none"]
)
def test_the_pattern_of_a_service_means_the_same_to_each_server(
    stack: Stack, traffic: None, chosen: str, found: set[str]
) -> None:
    pattern = f'=~"{provisioned.fill_in(CHOSEN_SERVICE, {"service": chosen})}"'
    backends = stack.backends
    assert found == eventually(
        lambda: {
            item["metric"]["service_name"]
            for item in backends.promql(f"target_info{{service_name{pattern}}}")
            if item["metric"]["service_name"].startswith("shop")
        },
        lambda names: names == found,
    )
    lines = f'sum by (service_name) (count_over_time({{service_name=~"shop.*",service_name{pattern}}}[15m]))'
    assert found == {item["metric"]["service_name"] for item in backends.logql_instant(lines)}
    spans = (
        f'{{ resource.service.name=~"shop.*" && resource.service.name{pattern} }} | rate() by (resource.service.name)'
    )
    assert found == {
        label["value"]["stringValue"] for item in backends.traceql_metrics(spans) for label in item["labels"]
    }


@pytest.mark.needs("tempo", "shop")
def test_the_readmes_queries_have_an_answer_and_count_a_request_once(stack: Stack, traffic: None) -> None:
    _, _, text = " ".join((ROOT / "README.md").read_text().split()).partition("**Queries.**")
    logql, traceql = re.findall(r"`([^`]+)`", text)[:2]
    assert eventually(lambda: stack.backends.traceql(traceql))
    routes = {item["metric"]["http_route"] for item in eventually(lambda: stack.backends.logql_instant(logql))}
    assert {"/simulate-error", "/failing-dependency"} <= routes
    by_request = stack.backends.logql_instant(logql.replace("by (http_route)", "by (trace_id)"))
    assert {item["value"][1] for item in by_request} == {"1"}


@pytest.mark.parametrize("name", provisioned.alerts())
def test_an_alerts_query_is_accepted(stack: Stack, name: str) -> None:
    # test_rules.py and test_inbox.py show its result when something is wrong.
    rule = provisioned.alerts()[name]
    source = provisioned.source_of(rule)
    if source in stack.missing:
        pytest.skip(f"no image can be had for {source}")
    backends = stack.backends
    ask = {"loki": backends.logql_instant, "tempo": backends.traceql_metrics, "prometheus": backends.promql}[source]
    assert isinstance(ask(provisioned.alert_expression(rule)), list)


@pytest.mark.needs("shop")
def test_every_recording_rule_has_recorded(stack: Stack, traffic: None) -> None:
    rules = (ROOT / "collector" / "prometheus-rules.yaml").read_text().splitlines()
    names = {line.partition("record:")[2].strip() for line in rules if "record:" in line}
    assert len(names) > 10
    recorded = eventually(
        lambda: {name for name in names if stack.backends.promql(name)}, lambda recorded: recorded == names
    )
    assert recorded == names


def test_every_target_is_up(stack: Stack) -> None:
    up = eventually(
        lambda: {item["metric"]["job"]: item["value"][1] for item in stack.backends.promql("up")},
        lambda targets: all(value == "1" for job, value in targets.items() if job not in stack.missing),
        seconds=60,
    )
    assert {job for job, value in up.items() if value == "1"} == set(up) - stack.missing
