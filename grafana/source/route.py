"""Route: one route, from its rate down to its slowest traces, statements and log lines."""

from __future__ import annotations

from grafana.source.colors import FAILURES, LATENCY, override
from grafana.source.dashboard import (
    DEPLOYMENTS,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
    text_variable,
)
from grafana.source.panels import logs, series, stat
from grafana.source.queries import Json, increase, prometheus, traceql_metrics
from grafana.source.requests import slowest
from grafana.source.selectors import REQUEST_LOGS, TRACES_OF_ROUTE
from grafana.source.service import (
    COUNT,
    ERRORS,
    PRECISION,
    REQUESTS,
    duration_map,
    durations,
    error_share,
    quantile,
    statuses,
)

LINES_OF_ROUTE = f'{REQUEST_LOGS} | http_route=~"$route"'


def build() -> Json:
    """Build the dashboard."""
    return dashboard(
        "otelflask-route",
        "One route: rate, errors, durations, and the requests behind the numbers.",
        [
            (
                4,
                [
                    (4, stat("Request rate", "Requests of this route per second.", prometheus(REQUESTS), unit="reqps")),
                    (
                        4,
                        stat(
                            "Requests",
                            "Requests of this route in the whole time range.",
                            prometheus(increase(COUNT)),
                            unit="none",
                            decimals=0,
                        ),
                    ),
                    (
                        4,
                        stat(
                            "Errors",
                            "Share of requests with an error (5xx). A dash: no requests.",
                            prometheus(ERRORS),
                            unit="percentunit",
                            steps=FAILURES,
                            decimals=2,
                        ),
                    ),
                    *(
                        (
                            4,
                            stat(
                                name,
                                f"The duration below which {share:.0%} of the requests stay. {PRECISION}",
                                prometheus(quantile(share)),
                                unit="s",
                                steps=LATENCY,
                            ),
                        )
                        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
                    ),
                ],
            ),
            (8, [(8, statuses()), (8, error_share()), (8, durations())]),
            (
                9,
                [
                    (10, duration_map()),
                    (
                        14,
                        slowest(
                            "Slowest requests",
                            "The requests that took longest, of those slower than the seconds above. A click on a trace "
                            "opens it, with its statements, and from each of its spans its log lines.",
                            f"{LINES_OF_ROUTE} | http_server_request_duration>$slower",
                            value="http_server_request_duration",
                            columns={
                                "http_request_method": "Method",
                                "url_path": "Path",
                                "http_response_status_code": "Status",
                            },
                            overrides=[
                                override("Method", custom__width=75),
                                override("Status", custom__width=65, unit="string"),
                            ],
                        ),
                    ),
                ],
            ),
            (
                9,
                [
                    (
                        12,
                        series(
                            "Statements of this route",
                            "The statements of this route per second, from the traces of its requests that are kept.",
                            [
                                traceql_metrics(
                                    f"{{ {TRACES_OF_ROUTE} }} >> {{ span.db.query.summary != nil }}"
                                    " | rate() by (span.db.query.summary) | topk(10)"
                                )
                            ],
                            unit="suffix:/s",
                            legend="right",
                        ),
                    ),
                    (
                        12,
                        logs(
                            "Request log",
                            "The request log: one line a request, with its fields and its trace.",
                            LINES_OF_ROUTE,
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
                "Slower than (s)",
                "0.05",
                "The duration in seconds from which a request is listed.",
            ),
        ],
        annotations=[DEPLOYMENTS],
    )
