"""What each backend has of a run's requests."""

from __future__ import annotations

from tests.stack.backends import Backends

#: Only tests request it.
ROUTE = "/api/reviews/count"


def serials_in_loki(backends: Backends, run: str) -> list[str]:
    """Request ids of the run's request logs, each as often as it occurs."""
    streams = backends.logql(
        f'{{service_name="shop"}} | event_name="http.server.request" | http_request_id=~"{run}-.*"', limit=5000
    )
    return [stream["stream"]["http_request_id"] for stream in streams for _ in stream["values"]]


def serials_in_tempo(backends: Backends, run: str) -> list[str]:
    """Request ids of the run's server spans, each as often as it occurs."""
    traces = backends.traceql(
        f'{{ span:kind=server && span.http.request.id=~"{run}-.*" }} | select(span.http.request.id)', limit=5000
    )
    return [
        attribute["value"]["stringValue"]
        for trace in traces
        for span_set in trace["spanSets"]
        for span in span_set["spans"]
        for attribute in span["attributes"]
        if attribute["key"] == "http.request.id"
    ]


def count_in_prometheus(backends: Backends, route: str = ROUTE) -> int:
    """How many requests of a route the histogram has counted, over all processes."""
    series = backends.promql(f'sum(http_server_request_duration_seconds_count{{http_route="{route}"}})')
    return round(float(series[0]["value"][1])) if series else 0
