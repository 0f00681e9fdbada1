"""Route: one route, from its rate down to its slowest traces, statements and log lines."""

from __future__ import annotations

from grafana.source.dashboard import (
    DEPLOYMENTS,
    LOGS,
    TRACES,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
    text_variable,
)
from grafana.source.panels import (
    Json,
    logs,
    override,
    prometheus,
    series,
    stat,
    table,
    traceql,
    traceql_metrics,
)
from grafana.source.service import (
    COUNT,
    ERROR_STEPS,
    ERRORS,
    LATENCY_STEPS,
    REQUESTS,
    duration_map,
    durations,
    error_share,
    quantile,
    statuses,
)

OF_ROUTE = f'{TRACES} && span.http.route=~"$route"'
#: Tempo's fields of a search, and Grafana's headings for them.
TRACE_COLUMNS = {"traceID": "Trace ID", "startTime": "Start time", "traceName": "Name", "traceDuration": "Duration"}
TRACE_WIDTHS = [
    override("Trace ID", custom__width=130),
    override("Start time", custom__width=165),
    override("Duration", custom__width=95),
]


def slow_traces() -> Json:
    """The slowest traces, by TraceQL."""
    return table(
        "Traces slower than $slower",
        "Requests that took longer than the threshold above. A click on a trace "
        "opens it, with its statements and from each of its spans its log lines.",
        [traceql(f"{{ {OF_ROUTE} && trace:duration > $slower }}")],
        columns=TRACE_COLUMNS,
        empty="No request took longer than the threshold.",
        sort="Duration",
        overrides=TRACE_WIDTHS,
    )


def build() -> Json:
    """Build the dashboard."""
    total = f"sum(increase({COUNT}[$__range]))"
    return dashboard(
        "otelflask-route",
        "One route: rate, errors, durations, and the requests behind the numbers.",
        [
            (
                4,
                [
                    (4, stat("Requests", "Requests of this route per second.", prometheus(REQUESTS), unit="reqps")),
                    (
                        4,
                        stat(
                            "In this time",
                            "How many requests were there in the whole time shown?",
                            prometheus(total),
                            unit="none",
                            over_time=False,
                            decimals=0,
                        ),
                    ),
                    (
                        4,
                        stat(
                            "Errors",
                            "Share of requests with an error (5xx).",
                            prometheus(ERRORS),
                            unit="percentunit",
                            steps=ERROR_STEPS,
                            decimals=2,
                        ),
                    ),
                    *(
                        (
                            4,
                            stat(
                                name,
                                f"The duration below which {share:.0%} of the requests stay.",
                                prometheus(quantile(share)),
                                unit="s",
                                steps=LATENCY_STEPS,
                            ),
                        )
                        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
                    ),
                ],
            ),
            (8, [(8, statuses()), (8, error_share()), (8, durations())]),
            (9, [(10, duration_map()), (14, slow_traces())]),
            (
                9,
                [
                    (
                        12,
                        series(
                            "Statements of this route",
                            "The statements of this route, from the traces of its requests.",
                            [
                                traceql_metrics(
                                    f"{{ {OF_ROUTE} }} >> {{ span.db.query.summary != nil }}"
                                    " | rate() by (span.db.query.summary) | topk(10)"
                                )
                            ],
                            unit="ops",
                            legend="table",
                            empty="No statement in this time.",
                        ),
                    ),
                    (
                        12,
                        logs(
                            "Request log",
                            "The request log: one line a request, with its fields and its trace.",
                            f'{LOGS} | event_name="http.server.request" | http_route=~"$route"',
                            empty="No requests in this time.",
                        ),
                    ),
                ],
            ),
        ],
        variables=[
            service_variable(),
            environment_variable(),
            route_variable(),
            text_variable(
                "slower",
                "Slower than",
                "50ms",
                "The duration from which a request is listed: 250ms, 1s, …",
            ),
        ],
        annotations=[DEPLOYMENTS],
    )
