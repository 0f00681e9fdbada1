"""Service overview: whether the service is well, and if not, which route is to blame."""

from __future__ import annotations

from grafana.source.dashboard import (
    DEPLOYMENTS,
    REPORTS,
    ROUTE,
    SERVICE,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
)
from grafana.source.panels import (
    GREEN,
    ORANGE,
    RED,
    STATUS_COLORS,
    YELLOW,
    Json,
    color,
    dashboard_url,
    exemplars,
    graph,
    heatmap,
    link,
    logs,
    override,
    prometheus,
    series,
    service_map,
    stat,
    table,
    thresholds,
)

COUNT = f"http_server_request_duration_seconds_count{{{ROUTE}}}"
BUCKET = f"http_server_request_duration_seconds_bucket{{{ROUTE}}}"
FAILED = f'http_server_request_duration_seconds_count{{{ROUTE},http_response_status_code=~"5.."}}'

REQUESTS = f"sum(rate({COUNT}[$__rate_interval]))"
ERRORS = f"(sum(rate({FAILED}[$__rate_interval])) or vector(0)) / {REQUESTS}"
#: From half an hour on, a table reads recorded series.
RECORDED = f'{SERVICE},http_route=~"$route"'

ERROR_STEPS = thresholds((None, GREEN), (0.01, YELLOW), (0.05, RED))
LATENCY_STEPS = thresholds((None, GREEN), (0.5, YELLOW), (1, RED))
ROUTE_LINK = link("Open this route", dashboard_url("otelflask-route", route="${__value.raw}"))


def quantile(share: float) -> str:
    """The duration, in seconds over two minutes, below which this share of requests stays."""
    return f"histogram_quantile({share}, sum by (le) (otelflask:duration_seconds_bucket:rate2m{{{ROUTE}}}))"


def durations(title: str = "Duration") -> Json:
    """p50, p95 and p99. Dots are single requests; a click on one opens its trace."""
    return series(
        title,
        "How long do requests take? Half of them are faster than p50, 95 % are faster than p95, and 99 % are faster "
        "than p99, to the precision of the buckets (… 0.5, 1, 2.5, 5 s). Each dot is a single request: click it to open its trace.",
        [
            prometheus(quantile(0.99), "p99"),
            prometheus(quantile(0.95), "p95"),
            prometheus(quantile(0.5), "p50"),
            exemplars(BUCKET),
        ],
        unit="s",
        overrides=[color("p99", RED), color("p95", ORANGE), color("p50", GREEN)],
        empty="No requests in this time.",
    )


def statuses() -> Json:
    """Requests by status code."""
    return series(
        "Requests by status",
        "Requests per second, by status. A purple mark is a new version.",
        [
            prometheus(
                f"sum by (http_response_status_code) (rate({COUNT}[$__rate_interval]))", "{{http_response_status_code}}"
            )
        ],
        unit="reqps",
        stack=True,
        overrides=STATUS_COLORS,
        empty="No requests in this time.",
    )


def error_share() -> Json:
    """The share of requests with a 5xx answer."""
    return series(
        "Share of errors",
        "Share of requests with an error (5xx). Yellow from 1 %, red from 5 %, where an alert fires.",
        [prometheus(ERRORS, "errors")],
        unit="percentunit",
        soft_max=0.05,
        steps=thresholds((None, GREEN), (0.01, YELLOW), (0.05, RED)),
        overrides=[color("errors", RED)],
        empty="No requests in this time.",
    )


def duration_map() -> Json:
    """Every request, by time and duration."""
    return heatmap(
        "Duration of each request",
        "Is everything slow, or only a part? A darker cell has more requests. Dots are single requests that link to "
        "their traces.",
        [
            prometheus(f"sum by (le) (otelflask:duration_seconds_bucket:rate2m{{{ROUTE}}})", "{{le}}", heat=True),
            exemplars(BUCKET),
        ],
        unit="s",
        empty="No requests in this time.",
    )


def _slow_routes() -> Json:
    by_route = "http_route"
    rate = f"sum by (http_route) (avg_over_time(otelflask:requests:rate2m{{{ROUTE}}}[$__range]))"
    return table(
        "Slowest routes",
        "Routes by p95 over the whole time range. The share is of the total time that requests "
        "took. A click on a route opens it.",
        [
            prometheus(
                f"topk(10, histogram_quantile(0.95, sum by (http_route, le) "
                f"(avg_over_time(otelflask:duration_seconds_bucket:rate2m{{{ROUTE}}}[$__range]))))",
                instant=True,
            ),
            prometheus(rate, instant=True),
            prometheus(
                f"sum by (http_route) (avg_over_time(otelflask:duration_seconds_sum:rate2m{{{ROUTE}}}[$__range]))"
                f" / scalar(sum(avg_over_time(otelflask:duration_seconds_sum:rate2m{{{ROUTE}}}[$__range])))",
                instant=True,
            ),
        ],
        columns={by_route: "Route", "Value #A": "p95", "Value #B": "Requests", "Value #C": "Share of time"},
        empty="No requests in this time.",
        sort="p95",
        overrides=[
            override("Route", links=[ROUTE_LINK], custom__minWidth=220),
            override(
                "p95", unit="s", custom__width=90, custom__cellOptions={"type": "color-text"}, thresholds=LATENCY_STEPS
            ),
            override("Requests", unit="reqps", custom__width=120),
            override(
                "Share of time",
                unit="percentunit",
                custom__width=170,
                custom__cellOptions={"type": "gauge", "mode": "basic"},
                min=0,
                max=1,
            ),
        ],
    )


def _failing_routes() -> Json:
    errors = f"sum by (http_route) (avg_over_time(otelflask:errors:rate2m{{{ROUTE}}}[$__range]))"
    requests = f"sum by (http_route) (avg_over_time(otelflask:requests:rate2m{{{ROUTE}}}[$__range]))"
    return table(
        "Failing routes",
        "Routes with errors (5xx). A click on a route opens it.",
        [
            prometheus(f"topk(10, sum by (http_route) (increase({FAILED}[$__range])) > 0)", instant=True),
            prometheus(f"{errors} / {requests} > 0", instant=True),
        ],
        columns={"http_route": "Route", "Value #A": "Errors", "Value #B": "Share"},
        empty="No route failed in this time.",
        sort="Errors",
        overrides=[
            override("Route", links=[ROUTE_LINK], custom__minWidth=220),
            override("Errors", unit="short", decimals=0, custom__width=90),
            override(
                "Share",
                unit="percentunit",
                custom__width=90,
                custom__cellOptions={"type": "color-text"},
                thresholds=ERROR_STEPS,
            ),
        ],
    )


def build() -> Json:
    """Build the dashboard."""
    within = f'sum(otelflask:duration_seconds_bucket:rate2m{{{ROUTE},le="%s"}})'
    apdex = f"({within % '0.5'} + {within % '2.5'}) / 2 / {within % '+Inf'}"
    budget = f'1 - max(otelflask:slo_budget_used:ratio3d{{{SERVICE},slo="availability"}})'
    return dashboard(
        "otelflask-service",
        "Is the service well? Links lead from a symptom to its route, trace and log line.",
        [
            (
                4,
                [
                    (4, stat("Requests", "Requests per second.", prometheus(REQUESTS), unit="reqps")),
                    (
                        4,
                        stat(
                            "Errors",
                            "Share of requests with an error (5xx). Yellow from 1 %, red from 5 %.",
                            prometheus(ERRORS),
                            unit="percentunit",
                            steps=ERROR_STEPS,
                            decimals=2,
                        ),
                    ),
                    (
                        4,
                        stat(
                            "p95",
                            "p95 of the duration of requests. Yellow from 0.5 s, red from 1 s.",
                            prometheus(quantile(0.95)),
                            unit="s",
                            steps=LATENCY_STEPS,
                        ),
                    ),
                    (
                        4,
                        stat(
                            "In flight",
                            "Active requests. A rising number means that requests arrive faster than they are finished.",
                            prometheus(f"sum(http_server_active_requests{{{SERVICE}}})"),
                            unit="short",
                            empty="no app",
                        ),
                    ),
                    (
                        4,
                        stat(
                            "Apdex (0.5 s)",
                            "How satisfied are users? Requests up to 0.5 s count fully, up to 2.5 s half. 0.94 is "
                            "excellent, below 0.7 is poor.",
                            prometheus(apdex),
                            unit="none",
                            decimals=2,
                            steps=thresholds((None, "text"), (0, RED), (0.7, YELLOW), (0.85, GREEN)),
                        ),
                    ),
                    (
                        4,
                        stat(
                            "Budget left",
                            "The error budget that is left of three days. Negative: the objective is missed; see SLO.",
                            prometheus(budget),
                            unit="percentunit",
                            decimals=0,
                            steps=thresholds((None, "text"), (-1000, RED), (0, ORANGE), (0.25, GREEN)),
                            empty="after 2 min",
                            over_time=False,
                            links=[link("SLO", dashboard_url("otelflask-slo"))],
                        ),
                    ),
                ],
            ),
            (8, [(8, statuses()), (8, error_share()), (8, durations())]),
            (8, [(10, duration_map()), (14, _slow_routes())]),
            (
                9,
                [
                    (10, _failing_routes()),
                    (
                        14,
                        logs(
                            "Recent errors",
                            "The latest reports, one line each. A line opens to its stack, local variables and trace.",
                            f'{REPORTS} | http_route=~"$route"',
                            empty="No error was reported in this time.",
                        ),
                    ),
                ],
            ),
            (
                10,
                [
                    (
                        24,
                        graph(
                            "Service map",
                            "Services and their calls: rate, duration and failures, from all traces. A click on a "
                            "node shows its rate, duration and failures.",
                            service_map(),
                            empty="No traces in this time.",
                        ),
                    ),
                ],
            ),
        ],
        variables=[service_variable(), environment_variable(), route_variable()],
        annotations=[DEPLOYMENTS],
    )
