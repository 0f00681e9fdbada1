"""Span metrics and service graph, and tail sampling behind them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack import driver, found
from tests.stack.backends import Backends, eventually
from tests.stack.compose import Stack

pytestmark = [pytest.mark.slow, pytest.mark.stack]

#: The metrics of Grafana's service map and its table of spans (its Tempo data source).
READ_BY_GRAFANA = (
    "traces_service_graph_request_total",
    "traces_service_graph_request_failed_total",
    "traces_service_graph_request_server_seconds_sum",
    "traces_service_graph_request_server_seconds_bucket",
    'traces_spanmetrics_calls_total{span_kind="SPAN_KIND_SERVER"}',
    'traces_spanmetrics_latency_bucket{span_kind="SPAN_KIND_SERVER"}',
)
SAMPLING = {"TAIL_SAMPLING": "1", "TAIL_SAMPLING_SLOW_MS": "700", "TAIL_SAMPLING_PERCENT": "0"}


def _calls(backends: Backends) -> int | None:
    """Requests of the route that Tempo has counted; None after half a minute without a report."""
    counted = f'traces_spanmetrics_calls_total{{span_kind="SPAN_KIND_SERVER",span_name="GET {found.ROUTE}"}}'
    series = backends.promql(f"sum({counted} and (time() - timestamp({counted}) < 30))")
    return round(float(series[0]["value"][1])) if series else None


@pytest.mark.needs("shop", "postgres", "redis", "tempo")
def test_the_service_map_has_the_series_that_grafana_reads(stack: Stack) -> None:
    driver.request(stack.url["shop"], "/simulate-error")
    for name in READ_BY_GRAFANA:
        assert eventually(lambda name=name: stack.backends.promql(name)), name
    servers = {item["metric"]["server"] for item in stack.backends.promql("traces_service_graph_request_total")}
    assert {"postgres", "redis"} <= servers


@pytest.mark.needs("shop", "postgres", "redis", "tempo")
def test_span_metrics_count_every_request(stack: Stack) -> None:
    # One request to start a series: a restarted Tempo counts from zero.
    driver.request(stack.url["shop"], found.ROUTE)
    before = eventually(lambda: _calls(stack.backends), lambda calls: calls is not None)
    assert before is not None
    driver.requests(stack.url["shop"], found.ROUTE, 50, driver.run_name("spans"))
    assert eventually(lambda: _calls(stack.backends), lambda calls: (calls or 0) >= before + 50) == before + 50


@pytest.fixture
def sampled(stack: Stack) -> Iterator[Stack]:
    """The bundle with tail sampling of errors and slow requests only; restored afterwards."""
    stack.run("up", "--detach", "--no-deps", "collector", "tempo", **SAMPLING)
    stack.wait("collector", "tempo", **SAMPLING)
    yield stack
    stack.run("up", "--detach", "--no-deps", "collector", "tempo")
    stack.wait("collector", "tempo")


@pytest.mark.needs("shop", "postgres", "redis", "tempo")
def test_tail_sampling_keeps_errors_and_slow_requests_and_counts_all(sampled: Stack) -> None:
    shop, backends = sampled.url["shop"], sampled.backends
    run = driver.run_name("tail")
    kept = [driver.request(shop, "/simulate-error", f"{run}-error-{n}") for n in range(3)]
    kept += [driver.request(shop, "/slow-query", f"{run}-slow-{n}") for n in range(2)]
    driver.requests(shop, found.ROUTE, 60, f"{run}-plain")
    serials = eventually(lambda: found.serials_in_tempo(backends, run), lambda serials: len(serials) >= len(kept))
    assert sorted(serials) == sorted(item.serial for item in kept)
    # Made by the collector now, under the same name: a new series beside Tempo's.
    made = f'traces_spanmetrics_calls_total{{job="shop",span_kind="SPAN_KIND_SERVER",span_name="GET {found.ROUTE}"}}'
    calls = eventually(
        lambda: backends.promql(made), lambda series: bool(series) and float(series[0]["value"][1]) >= 60
    )
    assert [float(item["value"][1]) for item in calls] == [60]
    assert eventually(lambda: backends.promql(made.replace("calls_total", "latency_bucket")))
    # The log records and durations of all requests are there.
    assert len(eventually(lambda: found.serials_in_loki(backends, f"{run}-plain"), lambda s: len(s) >= 60)) == 60
