"""Errors: which, where, since when, how often, and the requests they happened in."""

from __future__ import annotations

from grafana.source.dashboard import (
    DEPLOYMENTS,
    LOGS,
    REPORTS,
    REQUEST_LOGS,
    ROUTE,
    TRACES,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
)
from grafana.source.panels import (
    LOKI,
    RED,
    TEMPO,
    Json,
    dashboard_url,
    explore,
    link,
    logs,
    loki,
    override,
    prometheus,
    series,
    shades,
    stat,
    table,
    thresholds,
    traceql,
)
from grafana.source.route import TRACE_COLUMNS, TRACE_WIDTHS

FAILED = (
    f'{REQUEST_LOGS} | http_response_status_code=~"5.." | http_route=~"$route"'
    # Answered with an error without an exception: the status is the type, as `error.type` has it.
    " | label_format exception_type=`{{ or .exception_type .http_response_status_code }}`"
)
KIND = "exception_type, http_route, http_response_status_code"
SEEN_AT = " | label_format ts=`{{ __timestamp__ | unixEpochMillis }}` | unwrap ts [$__range]"
SEEN = FAILED + SEEN_AT
GROUP = "otelflask_error_fingerprint, exception_type, http_route, otelflask_error_handled"
OF_ROUTE = f'{REPORTS} | http_route=~"$route"'
ERRORS = f'http_server_request_duration_seconds_count{{{ROUTE},error_type!=""}}'


def by_kind(function: str, window: str) -> str:
    """The errors by type and route; `window` may carry an offset."""
    return f"sum by (error_type, http_route) ({function}({ERRORS}{window}))"


def build() -> Json:
    """The dashboard."""
    lines = '{service_name="$service"} | http_route="${__data.fields.Route}" | http_response_status_code=~"5.."'
    of_group = '{service_name="$service"} | otelflask_error_fingerprint="${__data.fields.Group}"'
    spans = f'{{ {TRACES} && span.http.route="${{__data.fields.Route}}" && span.http.response.status_code >= 500 }}'
    return dashboard(
        "otelflask-errors",
        "Which errors are there, where, since when, and in which requests did they happen?",
        [
            (
                4,
                [
                    (
                        6,
                        stat(
                            "Failed requests",
                            "How many requests were answered with 5xx in this time?",
                            prometheus(
                                f'sum(increase(http_server_request_duration_seconds_count{{{ROUTE},http_response_status_code=~"5.."}}[$__range])) or vector(0)'
                            ),
                            unit="short",
                            decimals=0,
                            steps=thresholds((None, "text"), (1, RED)),
                            over_time=False,
                        ),
                    ),
                    (
                        6,
                        stat(
                            "Kinds",
                            "How many different errors (type and route) were there in this time?",
                            prometheus(f"count({by_kind('increase', '[$__range]')} > 0) or vector(0)"),
                            unit="short",
                            over_time=False,
                        ),
                    ),
                    (
                        6,
                        stat(
                            "Kinds that are new",
                            "How many of them were not seen in the 24 hours before this time?",
                            prometheus(
                                f"count({by_kind('increase', '[$__range]')} > 0 unless "
                                f"{by_kind('last_over_time', '[1d] offset $__range')}) or vector(0)"
                            ),
                            unit="short",
                            steps=thresholds((None, "text"), (1, RED)),
                            over_time=False,
                        ),
                    ),
                    (
                        6,
                        stat(
                            "Errors in logs",
                            "How many lines at ERROR or above were logged in this time?",
                            loki(
                                f'sum(count_over_time({LOGS} | severity_text=~"ERROR|CRITICAL|FATAL" | event_name="" [$__range])) or vector(0)',
                                instant=True,
                            ),
                            unit="short",
                            empty="none",
                            over_time=False,
                        ),
                    ),
                ],
            ),
            (
                8,
                [
                    (
                        24,
                        series(
                            "Errors by type and route",
                            "When did which error happen?",
                            [
                                prometheus(
                                    by_kind("rate", "[$__rate_interval]") + " > 0",
                                    "{{error_type}} · {{http_route}}",
                                )
                            ],
                            unit="reqps",
                            bars=True,
                            stack=True,
                            overrides=[shades(".*", RED)],
                            legend="table",
                            empty="No request failed in this time.",
                        ),
                    )
                ],
            ),
            (
                9,
                [
                    (
                        24,
                        table(
                            "Kinds of errors",
                            "Which errors are there, how often, since when, and did they end? A click on the count opens "
                            "the log lines of their requests, a click on the last time their traces.",
                            [
                                loki(f"sum by ({KIND}) (count_over_time({FAILED} [$__range]))", instant=True),
                                loki(f"min_over_time({SEEN}) by ({KIND})", instant=True),
                                loki(f"max_over_time({SEEN}) by ({KIND})", instant=True),
                            ],
                            columns={
                                "exception_type": "Type",
                                "http_route": "Route",
                                "http_response_status_code": "Status",
                                "Value #A": "Count",
                                "Value #B": "First seen",
                                "Value #C": "Last seen",
                            },
                            empty="No request failed in this time.",
                            sort="Count",
                            overrides=[
                                override(
                                    "Route",
                                    links=[
                                        link(
                                            "Open this route", dashboard_url("otelflask-route", route="${__value.raw}")
                                        )
                                    ],
                                ),
                                override(
                                    "Count",
                                    unit="none",
                                    decimals=0,
                                    links=[link("Log lines", explore(LOKI, {"expr": lines, "queryType": "range"}))],
                                ),
                                override("First seen", unit="dateTimeFromNow"),
                                override(
                                    "Last seen",
                                    unit="dateTimeFromNow",
                                    links=[
                                        link(
                                            "Traces",
                                            explore(
                                                TEMPO, {"query": spans, "queryType": "traceql", "tableType": "traces"}
                                            ),
                                        )
                                    ],
                                ),
                            ],
                        ),
                    )
                ],
            ),
            (
                8,
                [
                    (
                        24,
                        table(
                            "Groups",
                            "Which bugs are there, whom do they hit, since when? Reports of the same bug are one group, "
                            "whatever its message and its line. A click on a group opens its reports.",
                            [
                                loki(f"sum by ({GROUP}) (count_over_time({OF_ROUTE} [$__range]))", instant=True),
                                loki(f"min_over_time({OF_ROUTE}{SEEN_AT}) by ({GROUP})", instant=True),
                                loki(f"max_over_time({OF_ROUTE}{SEEN_AT}) by ({GROUP})", instant=True),
                                loki(
                                    f"count by ({GROUP}) (sum by ({GROUP}, user_id) (count_over_time({OF_ROUTE}"
                                    ' | user_id!="" [$__range]))) or '
                                    f"0 * sum by ({GROUP}) (count_over_time({OF_ROUTE} [$__range]))",
                                    instant=True,
                                ),
                            ],
                            columns={
                                "otelflask_error_fingerprint": "Group",
                                "exception_type": "Type",
                                "http_route": "Route",
                                "otelflask_error_handled": "Handled",
                                "Value #A": "Reports",
                                "Value #D": "Users",
                                "Value #B": "First seen",
                                "Value #C": "Last seen",
                            },
                            empty="No error was reported in this time.",
                            sort="Last seen",
                            overrides=[
                                override(
                                    "Group",
                                    custom__width=160,
                                    links=[
                                        link("Its reports", explore(LOKI, {"expr": of_group, "queryType": "range"}))
                                    ],
                                ),
                                override("Handled", custom__width=85),
                                override("Reports", unit="none", decimals=0, custom__width=85),
                                override("Users", unit="none", decimals=0, custom__width=75),
                                override("First seen", unit="dateTimeFromNow"),
                                override("Last seen", unit="dateTimeFromNow"),
                            ],
                        ),
                    )
                ],
            ),
            (
                9,
                [
                    (
                        10,
                        table(
                            "Failed requests",
                            "In which requests did it happen? A click on a trace opens it.",
                            [
                                traceql(
                                    f'{{ {TRACES} && span.http.route=~"$route" && span.http.response.status_code >= 500 }}'
                                )
                            ],
                            columns=TRACE_COLUMNS,
                            empty="No request failed in this time.",
                            sort="Start time",
                            overrides=TRACE_WIDTHS,
                        ),
                    ),
                    (
                        14,
                        logs(
                            "Reports",
                            "What went wrong, in words? One line a problem; it opens to its stack, the app's frames with their "
                            "local variables, what was logged before, and to its trace.",
                            f'{REPORTS} | http_route=~"$route"',
                            empty="No error was reported in this time.",
                        ),
                    ),
                ],
            ),
        ],
        variables=[service_variable(), environment_variable(), route_variable()],
        annotations=[DEPLOYMENTS],
    )
