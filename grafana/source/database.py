"""Database: statements, their rate and duration, and repeated ones."""

from __future__ import annotations

from grafana.source.colors import (
    AMOUNT,
    ATTENTION,
    BAD,
    FAILURES,
    GOOD,
    NEUTRAL,
    WORSE,
    color,
    override,
    thresholds,
)
from grafana.source.dashboard import (
    DEPLOYMENTS,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
    text_variable,
)
from grafana.source.panels import logs, series, stat, table
from grafana.source.queries import Json, exemplars, increase, prometheus, ratio, traceql_metrics, zero_while
from grafana.source.requests import newest, slowest
from grafana.source.selectors import LOGS, SERVICE, SPANS, SPEAKS, TRACES_OF_ROUTE
from grafana.source.service import PRECISION

#: The time of a value "now": two samples of an app that exports once a minute.
RECENT = "2m"
COUNT = f"db_client_operation_duration_seconds_count{{{SERVICE}}}"
FAILED = f'db_client_operation_duration_seconds_count{{{SERVICE},error_type!=""}}'
BUCKET = f"db_client_operation_duration_seconds_bucket{{{SERVICE}}}"
SUM = f"db_client_operation_duration_seconds_sum{{{SERVICE}}}"
#: The statements that make tables at start, which would fill the legends.
DEFINITIONS = "CREATE.*|ALTER.*|DROP.*"
OF_DATA = f'{SERVICE},db_operation_name!~"{DEFINITIONS}"'
BY = "db_operation_name, db_collection_name"
LEGEND = "{{db_operation_name}} {{db_collection_name}}"
USED = f'sum(db_client_connection_count{{{SERVICE},db_client_connection_state="used"}} {SPEAKS})'
SLOW = f'{LOGS} | event_name="otelflask.slow_query" | http_route=~"$route|" | otelflask_db_query_duration>$slower'
N_PLUS_ONE = f"{{ {TRACES_OF_ROUTE} }} >> {{ span.db.query.summary != nil }} | count() > $repeats"


def _numbers() -> tuple[int, list[tuple[int, Json]]]:
    return (
        4,
        [
            (
                6,
                stat(
                    "Statements",
                    "Statements per second, over the last two minutes.",
                    prometheus(f"sum(rate({COUNT}[{RECENT}]))"),
                    unit="suffix:/s",
                    decimals=1,
                ),
            ),
            (
                6,
                stat(
                    "p95",
                    f"p95 of the duration of statements. {PRECISION}",
                    prometheus(f"histogram_quantile(0.95, sum by (le) (rate({BUCKET}[{RECENT}])))"),
                    unit="s",
                    steps=thresholds((None, GOOD), (0.1, ATTENTION), (1, BAD)),
                ),
            ),
            (
                6,
                stat(
                    "Failed",
                    "Share of statements that fail. A dash: no statements.",
                    prometheus(ratio(FAILED, COUNT, window=RECENT)),
                    unit="percentunit",
                    decimals=2,
                    steps=FAILURES,
                ),
            ),
            (
                6,
                stat(
                    "Pool in use",
                    "Used share of the pool. At 100 % requests wait for a connection. A dash: the app has no pool.",
                    prometheus(f"{USED} / sum(db_client_connection_max{{{SERVICE}}} {SPEAKS})"),
                    unit="percentunit",
                    decimals=0,
                    steps=thresholds((None, GOOD), (0.7, ATTENTION), (0.9, BAD)),
                ),
            ),
        ],
    )


def _by_operation() -> tuple[int, list[tuple[int, Json]]]:
    buckets = f"db_client_operation_duration_seconds_bucket{{{OF_DATA}}}"
    counts = f"db_client_operation_duration_seconds_count{{{OF_DATA}}}"
    return (
        8,
        [
            (
                12,
                series(
                    "Statements by operation and table",
                    "Statements per second, by operation and table, without CREATE, ALTER and DROP.",
                    [prometheus(f"sum by ({BY}) (rate({counts}[$__rate_interval])) > 0", LEGEND)],
                    unit="suffix:/s",
                    stack=True,
                    legend="right",
                ),
            ),
            (
                12,
                series(
                    "p95 by operation and table",
                    "p95 by operation and table, without CREATE, ALTER and DROP. A dot is a statement: click it to open "
                    f"its trace. {PRECISION}",
                    [
                        prometheus(
                            f"histogram_quantile(0.95, sum by ({BY}, le) (rate({buckets}[$__rate_interval])))",
                            LEGEND,
                        ),
                        exemplars(buckets),
                    ],
                    unit="s",
                    legend="right",
                ),
            ),
        ],
    )


def _connections() -> Json:
    idle = f'sum(db_client_connection_count{{{SERVICE},db_client_connection_state="idle"}} {SPEAKS})'
    return series(
        "Connections",
        "Is the pool large enough? Used connections beside the maximum. Each timeout was a request that got no connection.",
        [
            prometheus(USED, "used"),
            prometheus(idle, "idle"),
            prometheus(f"sum(db_client_connection_max{{{SERVICE}}} {SPEAKS})", "max"),
            prometheus(
                zero_while(USED, f"sum(increase(db_client_connection_timeouts_total{{{SERVICE}}}[$__rate_interval]))"),
                "timeouts",
            ),
        ],
        unit="short",
        overrides=[
            color("used", AMOUNT),
            color("idle", NEUTRAL),
            color("max", WORSE),
            color("timeouts", BAD),
        ],
    )


def _where_time_goes() -> Json:
    time, count = increase(SUM, by=BY), increase(COUNT, by=BY)
    return table(
        "Where the time goes",
        f"Statements by their share of the total time in the database. {PRECISION}",
        [
            prometheus(f"{time} / scalar({increase(SUM)})", instant=True),
            prometheus(count, instant=True),
            prometheus(f"{time} / ({count} > 0)", instant=True),
            prometheus(f"histogram_quantile(0.95, {increase(BUCKET, by=f'{BY}, le')})", instant=True),
        ],
        columns={
            "db_operation_name": "Operation",
            "db_collection_name": "Table",
            "Value #A": "Share of time",
            "Value #B": "Count",
            "Value #C": "Mean",
            "Value #D": "p95",
        },
        sort="Share of time",
        overrides=[
            override("Operation", custom__width=130),
            override(
                "Share of time",
                unit="percentunit",
                min=0,
                max=1,
                custom__width=140,
                custom__cellOptions={"type": "gauge", "mode": "basic"},
                color={"mode": "fixed", "fixedColor": AMOUNT},
            ),
            override("Count", unit="none", decimals=0, custom__width=65),
            override("Mean", unit="s", custom__width=80),
            override("p95", unit="s", custom__width=80),
        ],
    )


def _slowest_statements() -> Json:
    return slowest(
        "Slowest statements",
        "The statements that took longest, of those that the app logs (`slow_query_threshold`) and that took longer than "
        "the seconds above. A click opens the trace.",
        SLOW,
        value="otelflask_db_query_duration",
        columns={"db_query_text": "Statement", "code_function_name": "Caller"},
        overrides=[override("Caller", custom__width=260)],
        more="span_id",
    )


def build() -> Json:
    """Build the dashboard."""
    return dashboard(
        "otelflask-database",
        "The service's statements: rate, duration, and requests that run too many.",
        [
            _numbers(),
            _by_operation(),
            (
                8,
                [
                    (
                        12,
                        series(
                            "Statements by summary",
                            "Statements per second by `db.query.summary`, from the traces that are kept, without CREATE, ALTER and DROP.",
                            [
                                traceql_metrics(
                                    f'{{ {SPANS} && span.db.query.text != nil && span.db.operation.name!~"{DEFINITIONS}" }}'
                                    " | rate() by (span.db.query.summary) | topk(10)"
                                )
                            ],
                            unit="suffix:/s",
                            legend="right",
                        ),
                    ),
                    (12, _connections()),
                ],
            ),
            (9, [(24, _where_time_goes())]),
            (9, [(24, _slowest_statements())]),
            (
                7,
                [
                    (
                        24,
                        logs(
                            "Slow and repeated",
                            "Slow statements, and statements that one request repeated. A line opens to "
                            "its text, duration, rows, line of code and trace.",
                            f'{LOGS} | event_name=~"otelflask.slow_query|otelflask.repeated_query" | http_route=~"$route|"',
                        ),
                    )
                ],
            ),
            (
                8,
                [
                    (
                        24,
                        newest(
                            "N+1 suspects: more than $repeats statements",
                            "The newest requests with more statements than the number above. A statement that repeats is "
                            "an N+1; the trace shows it.",
                            N_PLUS_ONE,
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
                "slower", "Slower than (s)", "0.5", "The duration in seconds from which a statement is listed."
            ),
            text_variable(
                "repeats", "More than", "10", "The number of statements from which a request is an N+1 suspect."
            ),
        ],
        annotations=[DEPLOYMENTS],
    )
