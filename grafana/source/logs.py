"""Logs: counts by level, lines, and durations in lines."""

from __future__ import annotations

from grafana.source.dashboard import (
    LOGS,
    REQUEST_LOGS,
    SERVICE,
    choice_variable,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
    text_variable,
)
from grafana.source.panels import (
    LEVEL_COLORS,
    Json,
    dashboard_url,
    link,
    logs,
    loki,
    override,
    prometheus,
    series,
    table,
)

CHOSEN = f'{LOGS} | severity_text=~"$level" | http_route=~"$route" | trace_id=~"$trace.*" |= `$text`'
DURATION = REQUEST_LOGS + ' | http_route=~"$route" | unwrap http_server_request_duration | __error__=""'
LEVELS = {
    "All": ".*",
    "INFO and above": "INFO|WARN|WARNING|ERROR|CRITICAL|FATAL",
    "WARN and above": "WARN|WARNING|ERROR|CRITICAL|FATAL",
    "ERROR and above": "ERROR|CRITICAL|FATAL",
}


def build() -> Json:
    """Build the dashboard."""
    route_link = override(
        "Route", links=[link("Open this route", dashboard_url("otelflask-route", route="${__value.raw}"))]
    )
    return dashboard(
        "otelflask-logs",
        "Every line of the app and one line a request; each leads to its trace.",
        [
            (
                6,
                [
                    (
                        24,
                        series(
                            "Lines by level",
                            "Log lines by level, with the filters above.",
                            [
                                loki(
                                    f"sum by (severity_text) (count_over_time({CHOSEN} [$__auto]))", "{{severity_text}}"
                                )
                            ],
                            unit="short",
                            bars=True,
                            stack=True,
                            overrides=LEVEL_COLORS,
                            empty="No line matches in this time.",
                        ),
                    )
                ],
            ),
            (
                13,
                [
                    (
                        24,
                        logs(
                            "Lines",
                            "Log lines, with the filters above (a route is on the lines of "
                            "requests only). A line opens to its fields; “Open the trace” leads to its trace.",
                            CHOSEN,
                            empty="No line matches in this time.",
                        ),
                    )
                ],
            ),
            "What the lines say",
            (
                8,
                [
                    (
                        12,
                        series(
                            "Lines by service",
                            "Log lines by service.",
                            [
                                loki(
                                    'sum by (service_name) (count_over_time({service_name=~".+"} [$__auto]))',
                                    "{{service_name}}",
                                )
                            ],
                            unit="short",
                            bars=True,
                            stack=True,
                            empty="Nothing was logged in this time.",
                        ),
                    ),
                    (
                        12,
                        series(
                            "Mean duration by route",
                            "Mean duration of requests, from the request log.",
                            [loki(f"avg_over_time({DURATION} [$__auto]) by (http_route)", "{{http_route}}")],
                            unit="s",
                            empty="No requests in this time.",
                        ),
                    ),
                ],
            ),
            (
                8,
                [
                    (
                        12,
                        logs(
                            "Errors only",
                            "The latest errors, without the filters above.",
                            f'{LOGS} | severity_text=~"ERROR|CRITICAL|FATAL"',
                            empty="No error was logged in this time.",
                        ),
                    ),
                    (
                        12,
                        table(
                            "Slowest routes",
                            "Routes by p95, from the request log.",
                            [
                                loki(
                                    f"topk(10, quantile_over_time(0.95, {DURATION} [$__range]) by (http_route))",
                                    instant=True,
                                )
                            ],
                            columns={"http_route": "Route", "Value #A": "p95"},
                            empty="No requests in this time.",
                            sort="p95",
                            overrides=[route_link, override("p95", unit="s")],
                        ),
                    ),
                ],
            ),
            (
                8,
                [
                    (
                        8,
                        series(
                            "Active users",
                            "How many different users made a request in the last minutes?",
                            [
                                prometheus(
                                    f"max by (otelflask_window) (otelflask_users_active{{{SERVICE}}})",
                                    "last {{otelflask_window}}",
                                )
                            ],
                            unit="none",
                            empty="The app names no users.",
                        ),
                    ),
                    (
                        8,
                        series(
                            "Business events",
                            "Business events of the app (`otelflask.event`) per second.",
                            [
                                prometheus(
                                    f"sum by (event_name) (rate(otelflask_events_total{{{SERVICE}}}[$__rate_interval]))",
                                    "{{event_name}}",
                                )
                            ],
                            unit="cps",
                            empty="No event in this time.",
                        ),
                    ),
                    (
                        8,
                        logs(
                            "Latest events",
                            "The latest events. A line opens to its attributes and its trace.",
                            f'{LOGS} | scope_name="otelflask.events"',
                            empty="No event in this time.",
                        ),
                    ),
                ],
            ),
        ],
        variables=[
            service_variable(),
            environment_variable(),
            choice_variable("level", "Level", LEVELS, "The lowest level that is shown."),
            route_variable(),
            text_variable("text", "Text", "", "Lines that contain this text."),
            text_variable("trace", "Trace", "", "A trace id, or its beginning: the reference on an error page."),
        ],
    )
