"""Database: statements, their rate and duration, and repeated ones."""

from __future__ import annotations

from grafana.source.dashboard import (
    DEPLOYMENTS,
    LOGS,
    SERVICE,
    TRACES,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
    text_variable,
)
from grafana.source.panels import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    Json,
    color,
    exemplars,
    logs,
    override,
    prometheus,
    series,
    stat,
    table,
    thresholds,
    traceql,
    traceql_metrics,
)
from grafana.source.route import TRACE_COLUMNS, TRACE_WIDTHS
from grafana.source.runtime import SPEAKS

COUNT = f"db_client_operation_duration_seconds_count{{{SERVICE}}}"
BUCKET = f"db_client_operation_duration_seconds_bucket{{{SERVICE}}}"
SUM = f"db_client_operation_duration_seconds_sum{{{SERVICE}}}"
BY = "db_operation_name, db_collection_name"
LEGEND = "{{db_operation_name}} {{db_collection_name}}"
NOTHING = "No statement in this time."
USED = f'sum(db_client_connection_count{{{SERVICE},db_client_connection_state="used"}} {SPEAKS})'
STATEMENTS = 'resource.service.name="$service" && span.db.query.text != nil'
N_PLUS_ONE = f'{{ {TRACES} && span.http.route=~"$route" }} >> {{ span.db.query.summary != nil }} | count() > $repeats'


def build() -> Json:
    """Build the dashboard."""
    return dashboard(
        "otelflask-database",
        "The service's statements: rate, duration, and requests that run too many.",
        [
            (
                4,
                [
                    (
                        6,
                        stat(
                            "Statements",
                            "Statements per second.",
                            prometheus(f"sum(rate({COUNT}[$__rate_interval]))"),
                            unit="ops",
                            empty="no statements",
                        ),
                    ),
                    (
                        6,
                        stat(
                            "p95",
                            "p95 of the duration of statements.",
                            prometheus(f"histogram_quantile(0.95, sum by (le) (rate({BUCKET}[$__rate_interval])))"),
                            unit="s",
                            steps=thresholds((None, GREEN), (0.1, YELLOW), (1, RED)),
                            empty="no statements",
                        ),
                    ),
                    (
                        6,
                        stat(
                            "Failed",
                            "Share of statements that fail.",
                            prometheus(
                                f'(sum(rate(db_client_operation_duration_seconds_count{{{SERVICE},error_type!=""}}[$__rate_interval])) or vector(0)) / sum(rate({COUNT}[$__rate_interval]))'
                            ),
                            unit="percentunit",
                            decimals=2,
                            steps=thresholds((None, GREEN), (0.01, YELLOW), (0.05, RED)),
                            empty="no statements",
                        ),
                    ),
                    (
                        6,
                        stat(
                            "Pool in use",
                            "Used share of the pool. At 100 % requests wait for a connection.",
                            prometheus(f"{USED} / sum(db_client_connection_max{{{SERVICE}}} {SPEAKS})"),
                            unit="percentunit",
                            decimals=0,
                            steps=thresholds((None, GREEN), (0.7, YELLOW), (0.9, RED)),
                            empty="no pool",
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
                            "Statements by operation and table",
                            "Statements per second, by operation and table.",
                            [prometheus(f"sum by ({BY}) (rate({COUNT}[$__rate_interval])) > 0", LEGEND)],
                            unit="ops",
                            stack=True,
                            empty=NOTHING,
                        ),
                    ),
                    (
                        8,
                        series(
                            "p95 by operation and table",
                            "p95 by operation and table. A dot is a statement: click it to open its trace.",
                            [
                                prometheus(
                                    f"histogram_quantile(0.95, sum by ({BY}, le) (rate({BUCKET}[$__rate_interval])))",
                                    LEGEND,
                                ),
                                exemplars(BUCKET),
                            ],
                            unit="s",
                            empty=NOTHING,
                        ),
                    ),
                    (
                        8,
                        series(
                            "Connections",
                            "Is the pool large enough? Used connections beside the maximum. Each timeout was a "
                            "request that got no connection.",
                            [
                                prometheus(USED, "used"),
                                prometheus(
                                    f'sum(db_client_connection_count{{{SERVICE},db_client_connection_state="idle"}} {SPEAKS})',
                                    "idle",
                                ),
                                prometheus(f"sum(db_client_connection_max{{{SERVICE}}} {SPEAKS})", "max"),
                                prometheus(
                                    f"sum(increase(db_client_connection_timeouts_total{{{SERVICE}}}[$__rate_interval])) or vector(0)",
                                    "timeouts",
                                ),
                            ],
                            unit="short",
                            overrides=[
                                color("used", BLUE),
                                color("idle", GREEN),
                                color("max", ORANGE),
                                color("timeouts", RED),
                            ],
                            empty="The app has no connection pool.",
                        ),
                    ),
                ],
            ),
            (
                9,
                [
                    (
                        14,
                        table(
                            "Where the time goes",
                            "Statements by their share of the total time in the database.",
                            [
                                prometheus(
                                    f"sum by ({BY}) (increase({SUM}[$__range])) / scalar(sum(increase({SUM}[$__range])))",
                                    instant=True,
                                ),
                                prometheus(f"sum by ({BY}) (increase({COUNT}[$__range]))", instant=True),
                                prometheus(
                                    f"sum by ({BY}) (increase({SUM}[$__range])) / sum by ({BY}) (increase({COUNT}[$__range]))",
                                    instant=True,
                                ),
                                prometheus(
                                    f"histogram_quantile(0.95, sum by ({BY}, le) (increase({BUCKET}[$__range])))",
                                    instant=True,
                                ),
                            ],
                            columns={
                                "db_operation_name": "Operation",
                                "db_collection_name": "Table",
                                "Value #A": "Share of time",
                                "Value #B": "Count",
                                "Value #C": "Mean",
                                "Value #D": "p95",
                            },
                            empty=NOTHING,
                            sort="Share of time",
                            overrides=[
                                override("Operation", custom__width=95),
                                override(
                                    "Share of time",
                                    unit="percentunit",
                                    min=0,
                                    max=1,
                                    custom__width=140,
                                    custom__cellOptions={"type": "gauge", "mode": "basic"},
                                ),
                                override("Count", unit="none", decimals=0, custom__width=65),
                                override("Mean", unit="s", custom__width=80),
                                override("p95", unit="s", custom__width=80),
                            ],
                        ),
                    ),
                    (
                        10,
                        series(
                            "Statements by text",
                            "Statements per second by `db.query.summary`, from traces.",
                            [traceql_metrics(f"{{ {STATEMENTS} }} | rate() by (span.db.query.summary) | topk(10)")],
                            unit="ops",
                            empty=NOTHING,
                        ),
                    ),
                ],
            ),
            (
                9,
                [
                    (
                        24,
                        table(
                            "Statements slower than $slower",
                            "Statements that took longer than the threshold above. A click opens their trace.",
                            [
                                traceql(
                                    f"{{ {STATEMENTS} && span:duration > $slower }} | select(span.db.query.text, span.code.function.name)",
                                    spans=True,
                                )
                            ],
                            columns={
                                # Not shown, but the link of the span's id needs it.
                                "traceIdHidden": "traceIdHidden",
                                "spanID": "Span ID",
                                "time": "Start time",
                                "db.query.text": "db.query.text",
                                "code.function.name": "code.function.name",
                                "duration": "Duration",
                            },
                            empty="No statement took longer than the threshold.",
                            sort="Duration",
                            overrides=[
                                override("Span ID", custom__width=140),
                                override("Start time", custom__width=165),
                                override("traceIdHidden", custom__hidden=True),
                                override("db.query.text", displayName="Statement"),
                                override("code.function.name", displayName="Caller", custom__width=260),
                                override("Duration", custom__width=95),
                            ],
                        ),
                    ),
                ],
            ),
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
                            empty="No statement was slow, and none was repeated.",
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
                            "N+1 suspects: more than $repeats statements",
                            "Requests with more statements than the number above. A statement that repeats is "
                            "an N+1; the trace shows it.",
                            [traceql(f"{N_PLUS_ONE}")],
                            columns=TRACE_COLUMNS,
                            empty="No request ran that many statements.",
                            sort="Start time",
                            overrides=TRACE_WIDTHS,
                        ),
                    ),
                ],
            ),
        ],
        variables=[
            service_variable(),
            environment_variable(),
            route_variable(),
            text_variable("slower", "Slower than", "500ms", "The duration from which a statement is slow."),
            text_variable(
                "repeats", "More than", "10", "The number of statements from which a request is an N+1 suspect."
            ),
        ],
        annotations=[DEPLOYMENTS],
    )
