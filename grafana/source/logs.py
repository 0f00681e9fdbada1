"""Logs: counts by level, lines, and durations in lines."""

from __future__ import annotations

from grafana.source.colors import LEVELS as LEVEL_COLORS
from grafana.source.colors import WORSE, color, override, shades
from grafana.source.dashboard import (
    choice_variable,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
    text_variable,
)
from grafana.source.panels import logs, series, table
from grafana.source.queries import LABELS_AS_COLUMNS, TRACE_LINK, Json, loki, prometheus
from grafana.source.selectors import LINES, REQUEST_LOGS, SERVICE
from grafana.source.service import ROUTE_LINK

CHOSEN = f'{LINES} | severity_text=~"$level" | http_route=~"$route" | trace_id=~"$trace.*" |= `$text`'
#: The line at the end of a request or job repeats the level of its error, which has a line of its own.
_KIND = (
    '{{ $failed := "" }}{{ if eq .severity_text "ERROR" }}{{ $failed = "failed " }}{{ end }}'
    '{{ if eq .event_name "http.server.request" }}{{ $failed }}requests'
    '{{ else if eq .event_name "otelflask.job" }}{{ $failed }}jobs'
    "{{ else }}{{ .severity_text }}{{ end }}"
)
_KINDS = [
    color("requests", "light-blue"),
    color("jobs", "dark-blue"),
    shades("/^failed /", WORSE),
]
BY_LEVEL = f"sum by (kind) (count_over_time({CHOSEN} | label_format kind=`{_KIND}` [$__auto]))"
DURATION = REQUEST_LOGS + ' | http_route=~"$route" | unwrap http_server_request_duration | __error__=""'
#: Fields of an event's record that are no values of the event, and the links of the data source.
NO_VALUES = (
    "^(id|tsNs|Line|Trace|Error|Group|labels|labelTypes|flags|observed_timestamp|http_request_id"
    "|(service|span|scope|severity|detected|telemetry|process|host|deployment|os|container|code|otelflask)_.*)$"
)
LEVELS = {
    "All": ".*",
    "INFO and above": "INFO|WARN|WARNING|ERROR|CRITICAL|FATAL",
    "WARN and above": "WARN|WARNING|ERROR|CRITICAL|FATAL",
    "ERROR and above": "ERROR|CRITICAL|FATAL",
}


def build() -> Json:
    """Build the dashboard."""
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
                            "What the app logs, by level, with the filters above. The lines at the end of requests and jobs are "
                            "counted apart, so that an error counts once as ERROR. Error reports are on Errors.",
                            [loki(BY_LEVEL, "{{kind}}")],
                            unit="short",
                            bars=True,
                            stack=True,
                            overrides=[*LEVEL_COLORS, *_KINDS],
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
                                    'sum by (service_name) (count_over_time({service_name=~".+",report=""} [$__auto]))',
                                    "{{service_name}}",
                                )
                            ],
                            unit="short",
                            bars=True,
                            stack=True,
                        ),
                    ),
                    (
                        12,
                        series(
                            "Mean duration by route",
                            "Mean duration of requests, from the request log.",
                            [loki(f"avg_over_time({DURATION} [$__auto]) by (http_route)", "{{http_route}}")],
                            unit="s",
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
                            f'{LINES} | event_name="" | severity_text=~"ERROR|CRITICAL|FATAL"',
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
                            sort="p95",
                            overrides=[override("Route", links=[ROUTE_LINK]), override("p95", unit="s")],
                        ),
                    ),
                ],
            ),
            (
                8,
                [
                    (
                        6,
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
                        ),
                    ),
                    (
                        6,
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
                        ),
                    ),
                    (
                        12,
                        table(
                            "Latest events",
                            "The latest events, with the values that the app gave. A click on a trace opens it.",
                            [loki(f'{LINES} | scope_name="otelflask.events"', lines=50)],
                            columns={"Time": "Time", "event_name": "Event", "trace_id": "Trace ID"},
                            left_out=NO_VALUES,
                            sort="Time",
                            transformations=[LABELS_AS_COLUMNS],
                            overrides=[
                                override("Time", custom__width=180),
                                override("Trace ID", custom__width=100, links=[TRACE_LINK]),
                            ],
                        ),
                    ),
                ],
            ),
        ],
        variables=[
            service_variable(all_values=True),
            environment_variable(),
            choice_variable("level", "Level", LEVELS, "The lowest level that is shown."),
            route_variable(),
            text_variable("text", "Text", "", "Lines that contain this text."),
            text_variable("trace", "Trace", "", "A trace id, or its beginning: the reference on an error page."),
        ],
    )
