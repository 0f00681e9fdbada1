"""Service overview: whether the service is well, and if not, which route is to blame."""

from __future__ import annotations

from grafana.source.colors import (
    AMOUNT,
    ATTENTION,
    BAD,
    BUDGET,
    FAILURES,
    GOOD,
    LATENCY,
    PERCENTILES,
    STATUS,
    color,
    failed_share,
    override,
    thresholds,
)
from grafana.source.dashboard import (
    DEPLOYMENTS,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
)
from grafana.source.panels import graph, heatmap, logs, series, stat, table
from grafana.source.queries import (
    Json,
    dashboard_url,
    exemplars,
    increase,
    link,
    prometheus,
    ratio,
    service_map,
    total,
    zero_while,
)
from grafana.source.selectors import REPORTS, ROUTE, SERVICE, SPEAKS

COUNT = f"http_server_request_duration_seconds_count{{{ROUTE}}}"
BUCKET = f"http_server_request_duration_seconds_bucket{{{ROUTE}}}"
FAILED = f'http_server_request_duration_seconds_count{{{ROUTE},http_response_status_code=~"5.."}}'

#: Of the last two minutes, which have two samples of an app that exports once a minute.
REQUESTS = f"sum(otelflask:requests:rate2m{{{ROUTE}}})"
ERRORS = f"({zero_while(REQUESTS, f'sum(otelflask:errors:rate2m{{{ROUTE}}})')}) / ({REQUESTS} > 0)"

ROUTE_LINK = link("Open this route", dashboard_url("otelflask-route", route="${__value.raw}"))
#: What the precision of a percentile is.
PRECISION = "Percentiles have the precision of the buckets (… 0.5, 0.75, 1, 1.5, 2, 2.5 s)."


#: The rows of a heat map: of all buckets, the labels would not fit.
ROWS = 'le=~"0.005|0.01|0.025|0.05|0.1|0.25|0.5|1|1.0|2.5|5|5.0|10|10.0|[+]Inf"'


def quantile(share: float) -> str:
    """The duration, in seconds over two minutes, below which this share of requests stays."""
    return f"histogram_quantile({share}, sum by (le) (otelflask:duration_seconds_bucket:rate2m{{{ROUTE}}}))"


def durations(title: str = "Duration") -> Json:
    """p50, p95 and p99. Dots are single requests; a click on one opens its trace."""
    return series(
        title,
        "How long do requests take? Half of them are faster than p50, 95 % are faster than p95, and 99 % are faster "
        f"than p99. {PRECISION} Each dot is a single request: click it to open its trace.",
        [
            prometheus(quantile(0.99), "p99"),
            prometheus(quantile(0.95), "p95"),
            prometheus(quantile(0.5), "p50"),
            exemplars(BUCKET),
        ],
        unit="s",
        overrides=PERCENTILES,
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
        overrides=STATUS,
    )


def error_share() -> Json:
    """The share of requests with a 5xx answer."""
    return series(
        "Share of errors",
        "Share of requests with an error (5xx). The lines are at 1 % and 5 %. An alert fires after two minutes above 5 %.",
        [prometheus(ERRORS, "errors")],
        unit="percentunit",
        soft_max=0.05,
        steps=FAILURES,
        overrides=[color("errors", BAD)],
    )


def duration_map() -> Json:
    """Every request, by time and duration."""
    return heatmap(
        "Duration of each request",
        "Is everything slow, or only a part? A darker cell has more requests.",
        [prometheus(f"sum by (le) (otelflask:duration_seconds_bucket:rate2m{{{ROUTE},{ROWS}}})", "{{le}}", heat=True)],
        unit="s",
    )


def _summed(recorded: str, by: str = "") -> str:
    return total(f"sum_over_time(otelflask:{recorded}:rate2m{{{ROUTE}}}[$__range])", by)


def _slow_routes() -> Json:
    return table(
        "Slowest routes",
        "Routes by p95 over the whole time range. The share is of the total time that requests took. A click on a route "
        f"opens it. {PRECISION}",
        [
            prometheus(
                # Recorded, because a day has many samples of buckets. Their sum weighs each time by its requests.
                f"topk(10, histogram_quantile(0.95, {_summed('duration_seconds_bucket', 'http_route, le')}))",
                instant=True,
            ),
            prometheus(increase(COUNT, by="http_route"), instant=True),
            prometheus(
                f"{_summed('duration_seconds_sum', 'http_route')} / scalar({_summed('duration_seconds_sum')})",
                instant=True,
            ),
        ],
        columns={"http_route": "Route", "Value #A": "p95", "Value #B": "Requests", "Value #C": "Share of time"},
        sort="p95",
        overrides=[
            override("Route", links=[ROUTE_LINK], custom__minWidth=220),
            override("p95", unit="s", custom__width=90, custom__cellOptions={"type": "color-text"}, thresholds=LATENCY),
            override("Requests", unit="none", decimals=0, custom__width=100),
            override(
                "Share of time",
                unit="percentunit",
                custom__width=170,
                custom__cellOptions={"type": "gauge", "mode": "basic"},
                color={"mode": "fixed", "fixedColor": AMOUNT},
                min=0,
                max=1,
            ),
        ],
    )


def _failing_routes() -> Json:
    return table(
        "Failing routes",
        "Routes with errors (5xx): how many, and their share of the route's requests in the whole time range. A click on "
        "a route opens it. Empty where no route failed.",
        [
            prometheus(f"topk(10, {increase(FAILED, by='http_route')} > 0)", instant=True),
            prometheus(f"{ratio(FAILED, COUNT, by='http_route')} > 0", instant=True),
        ],
        columns={"http_route": "Route", "Value #A": "Errors", "Value #B": "Share"},
        sort="Errors",
        overrides=[
            override("Route", links=[ROUTE_LINK], custom__minWidth=220),
            override("Errors", unit="none", decimals=0, custom__width=90),
            failed_share("Share", 90),
        ],
    )


def _budget() -> Json:
    budget = f'1 - max(otelflask:slo_budget_used:ratio3d{{{SERVICE},slo="availability"}})'
    return stat(
        "Budget left",
        "The error budget that is left of three days. Negative: the objective is missed; see SLO. It is there two minutes "
        "after the first request.",
        prometheus(budget),
        unit="percentunit",
        decimals=0,
        steps=BUDGET,
        links=[link("SLO", dashboard_url("otelflask-slo"))],
    )


def _apdex() -> Json:
    within = f'sum(otelflask:duration_seconds_bucket:rate2m{{{ROUTE},le=~"%s(.0)?"}})'
    return stat(
        "Apdex (0.5 s)",
        "How satisfied are users? Requests up to 0.5 s count fully, up to 2 s half. 0.94 is excellent, below 0.7 is poor.",
        prometheus(f"({within % '0.5'} + {within % '2'}) / 2 / ({within % '[+]Inf'} > 0)"),
        unit="none",
        decimals=2,
        steps=thresholds((None, BAD), (0.7, ATTENTION), (0.85, GOOD)),
    )


def build() -> Json:
    """Build the dashboard."""
    return dashboard(
        "otelflask-service",
        "Is the service well? Links lead from a symptom to its route, trace and log line.",
        [
            (
                4,
                [
                    (
                        4,
                        stat(
                            "Requests",
                            "Requests per second, over the last two minutes.",
                            prometheus(REQUESTS),
                            unit="reqps",
                        ),
                    ),
                    (
                        4,
                        stat(
                            "Errors",
                            "Share of requests with an error (5xx). Yellow from 1 %, red from 5 %. A dash: no requests.",
                            prometheus(ERRORS),
                            unit="percentunit",
                            steps=FAILURES,
                            decimals=2,
                        ),
                    ),
                    (
                        4,
                        stat(
                            "p95",
                            f"p95 of the duration of requests. Yellow from 0.5 s, red from 1 s. {PRECISION}",
                            prometheus(quantile(0.95)),
                            unit="s",
                            steps=LATENCY,
                        ),
                    ),
                    (
                        4,
                        stat(
                            "In flight",
                            "Active requests. A rising number means that requests arrive faster than they are finished.",
                            prometheus(f"sum(http_server_active_requests{{{SERVICE}}} {SPEAKS})"),
                            unit="short",
                        ),
                    ),
                    (4, _apdex()),
                    (4, _budget()),
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
                            "The latest reports, one line each. A line opens to its stack, local variables, group and trace.",
                            f'{REPORTS} | http_route=~"$route"',
                        ),
                    ),
                ],
            ),
            (
                14,
                [
                    (
                        24,
                        graph(
                            "Service map",
                            "Services and their calls: rate, duration and failures, from the traces that are kept. Rates are means "
                            "of the whole time range, also of the time before the start. A click "
                            "on a node shows its rate, duration and failures.",
                            service_map(),
                        ),
                    ),
                ],
            ),
        ],
        variables=[service_variable(), environment_variable(), route_variable()],
        annotations=[DEPLOYMENTS],
    )
