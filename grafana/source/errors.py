"""Errors: types, places, times, counts, and their requests."""

from __future__ import annotations

from grafana.source import inbox
from grafana.source.colors import (
    ATTENTION,
    BAD,
    NEUTRAL,
    SOME_IS_BAD,
    WORSE,
    override,
    shades,
    states,
)
from grafana.source.dashboard import (
    DEPLOYMENTS,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
)
from grafana.source.panels import logs, series, stat, table
from grafana.source.queries import (
    LOKI,
    TEMPO,
    Json,
    dashboard_url,
    explore,
    link,
    loki,
    prometheus,
    zero_while,
)
from grafana.source.requests import newest
from grafana.source.selectors import LINES, LOGS, REPORTS, REQUEST_LOGS, ROUTE, TRACES, TRACES_OF_ROUTE

FAILED = (
    f'{REQUEST_LOGS} | http_response_status_code=~"5.." | http_route=~"$route"'
    # An error without an exception: its type is the status, as in `error.type`.
    " | label_format exception_type=`{{ or .exception_type .http_response_status_code }}`"
)
KIND = "exception_type, http_route, http_response_status_code"
SEEN_AT = " | label_format ts=`{{ __timestamp__ | unixEpochMillis }}` | unwrap ts [$__range]"
SEEN = FAILED + SEEN_AT
#: Colours of the states of a group: those that need attention.
STATE_COLORS = {"known": NEUTRAL, "new": BAD, "back": WORSE, "new release": ATTENTION}
#: Every line of the service in this time: without any, nobody knows whether there was an error.
ANY_LINE = f"sum(count_over_time({LOGS} [$__range]))"
ERRORS = f'http_server_request_duration_seconds_count{{{ROUTE},error_type!=""}}'


def groups() -> Json:
    """Build the inbox."""
    return table(
        "Inbox",
        "Bugs: how often, which users, since when, and whether they are new. Reports of the same bug are one "
        "group, whatever their message and line. A click on a group opens it.",
        [
            loki(inbox.occurrences(inbox.IN_TIME), instant=True),
            loki(inbox.users(), instant=True),
            loki(inbox.first_seen(), instant=True),
            loki(inbox.last_seen(), instant=True),
            loki(inbox.state(), instant=True),
            loki(inbox.over_time()),
        ],
        columns={
            inbox.TITLE: "Group",
            "http_route": "Route",
            "Value #E": "State",
            "Value #A": "Count",
            "Value #B": "Users",
            "Trend #F": "Trend",
            "Value #C": "First seen",
            "Value #D": "Last seen",
            "service_version": "Release",
            "otelflask_error_fingerprint": "Fingerprint",
        },
        sort="Last seen",
        transformations=[{"id": "timeSeriesTable", "options": {"F": {"timeField": "Time", "stat": "sum"}}}],
        overrides=[
            override(
                "Group",
                custom__width=420,
                custom__wrapText=True,
                links=[
                    link(
                        "Open this group", dashboard_url("otelflask-error-group", group="${__data.fields.Fingerprint}")
                    )
                ],
            ),
            override("Route", custom__width=150),
            override(
                "State",
                custom__minWidth=95,
                unit="none",
                custom__cellOptions={"type": "color-text"},
                mappings=states({value: (text, STATE_COLORS[text]) for value, text in inbox.STATES.items()}),
            ),
            override("Count", unit="none", decimals=0, custom__width=65),
            override("Users", unit="none", decimals=0, custom__width=65),
            override(
                "Trend",
                # A width would make Grafana ignore those of the other columns.
                custom__minWidth=95,
                custom__cellOptions={"type": "sparkline", "drawStyle": "bars", "fillOpacity": 80, "hideValue": True},
                color={"mode": "fixed", "fixedColor": BAD},
            ),
            override("First seen", unit="dateTimeFromNow", custom__width=120),
            override("Last seen", unit="dateTimeFromNow", custom__width=135),
            # A string, because Grafana would read some releases as numbers.
            override("Release", custom__width=80, unit="string"),
            # Needed for the link. It is narrow, not hidden: a hidden column makes Grafana mix up the widths of the
            # others.
            override("Fingerprint", custom__width=75),
        ],
    )


def build() -> Json:
    """Build the dashboard."""
    lines = f'{LINES} | http_route="${{__data.fields.Route}}" | http_response_status_code=~"5.."'
    spans = f'{{ {TRACES} && span.http.route="${{__data.fields.Route}}" && span.http.response.status_code >= 500 }}'
    return dashboard(
        "otelflask-errors",
        "Errors: type, place, time, and the requests in which they occurred.",
        [
            (
                4,
                [
                    (
                        6,
                        stat(
                            "Failed requests",
                            "Requests that were answered with 5xx in this time range. A dash: the request log has none.",
                            # Counted as in the tables below, because the increase of a young counter is an estimate.
                            loki(
                                zero_while(
                                    f"sum(count_over_time({REQUEST_LOGS} [$__range]))",
                                    f"sum(count_over_time({FAILED} [$__range]))",
                                )
                            ),
                            unit="short",
                            decimals=0,
                            steps=SOME_IS_BAD,
                        ),
                    ),
                    (
                        6,
                        stat(
                            "Groups",
                            "Different bugs in this time range. Reports of the same bug are one group. A dash: no lines.",
                            loki(zero_while(ANY_LINE, f"count({inbox.seen(inbox.IN_TIME)})")),
                            unit="short",
                            steps=SOME_IS_BAD,
                        ),
                    ),
                    (
                        6,
                        stat(
                            "New or back",
                            "Groups that are new in this time range, or that came back after a day or more.",
                            loki(
                                zero_while(
                                    ANY_LINE, f"count(({inbox.new(inbox.IN_TIME)}) or ({inbox.back(inbox.IN_TIME)}))"
                                )
                            ),
                            unit="short",
                            steps=SOME_IS_BAD,
                        ),
                    ),
                    (
                        6,
                        stat(
                            "Errors in logs",
                            "Lines of the app at ERROR or above in this time range.",
                            loki(
                                zero_while(
                                    ANY_LINE,
                                    f'sum(count_over_time({LOGS} | severity_text=~"ERROR|CRITICAL|FATAL" | event_name=""'
                                    " [$__range]))",
                                )
                            ),
                            unit="short",
                            steps=SOME_IS_BAD,
                        ),
                    ),
                ],
            ),
            (10, [(24, groups())]),
            (
                8,
                [
                    (
                        24,
                        series(
                            "Errors by type and route",
                            "Errors over time, by type and route.",
                            [
                                prometheus(
                                    f"sum by (error_type, http_route) (rate({ERRORS}[$__rate_interval])) > 0",
                                    "{{error_type}} · {{http_route}}",
                                )
                            ],
                            unit="reqps",
                            bars=True,
                            stack=True,
                            overrides=[shades(".*", BAD)],
                            legend="right",
                            # Without the packages of the types.
                            rename=(r"^\S*\.(\S+) · ", "$1 · "),
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
                            "Errors by type and route: count, first and last seen. A click on the count opens "
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
                            sort="Count",
                            overrides=[
                                override("Type", custom__minWidth=330),
                                override("Status", custom__width=75),
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
                                    custom__width=90,
                                    links=[link("Log lines", explore(LOKI, {"expr": lines, "queryType": "range"}))],
                                ),
                                override("First seen", unit="dateTimeFromNow", custom__width=150),
                                override(
                                    "Last seen",
                                    unit="dateTimeFromNow",
                                    custom__width=150,
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
                9,
                [
                    (
                        12,
                        newest(
                            "Latest failed requests",
                            "The newest requests that were answered with 5xx. A click on a trace opens it.",
                            f"{{ {TRACES_OF_ROUTE} && span.http.response.status_code >= 500 }}",
                        ),
                    ),
                    (
                        12,
                        logs(
                            "Reports",
                            "Reports, one line each. A line opens to its stack, the app's frames with their "
                            "local variables, what was logged before, and to its group and trace.",
                            f'{REPORTS} | http_route=~"$route"',
                        ),
                    ),
                ],
            ),
        ],
        variables=[service_variable(all_values=True), environment_variable(), route_variable()],
        annotations=[DEPLOYMENTS],
    )
