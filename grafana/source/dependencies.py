"""Dependencies: the calls of the service to other services, and their outcomes."""

from __future__ import annotations

from grafana.source.dashboard import (
    DEPLOYMENTS,
    LOGS,
    SERVICE,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
)
from grafana.source.panels import (
    GREEN,
    RED,
    YELLOW,
    Json,
    color,
    exemplars,
    logs,
    override,
    prometheus,
    series,
    table,
    thresholds,
    traceql,
    traceql_metrics,
)
from grafana.source.route import TRACE_COLUMNS, TRACE_WIDTHS

COUNT = f"http_client_request_duration_seconds_count{{{SERVICE}}}"
BUCKET = f"http_client_request_duration_seconds_bucket{{{SERVICE}}}"
FAILED = f'http_client_request_duration_seconds_count{{{SERVICE},http_response_status_code!~"[123].."}}'
#: Rates by status code, or by error type where there is no status.
ANSWERED = (
    f'label_replace(label_replace(rate({COUNT}[$__rate_interval]), "answer", "$1", "error_type", "(.+)"), '
    '"answer", "$1", "http_response_status_code", "(.+)")'
)
CALLS = f"otelflask_circuit_breaker_calls_total{{{SERVICE}}}"
NO_CALLS = "The app makes no calls by requests, httpx or urllib3, or their extra is not installed."
NO_BREAKERS = "The app has no circuit breaker."
#: Client spans of this service, over HTTP and to redis.
CLIENT = 'resource.service.name="$service" && span:kind=client'
OVER_HTTP = f"{CLIENT} && span.http.request.method != nil"
REDIS = f'{CLIENT} && span.db.system.name="redis"'


def _in_state(state: str) -> str:
    return f'otelflask_circuit_breaker_state{{{SERVICE},otelflask_circuit_breaker_state="{state}"}}'


def _servers() -> Json:
    return table(
        "Servers",
        "Calls over HTTP by server: rate, duration and failures. Failed calls are those without an answer and those "
        "answered with 4xx and 5xx.",
        [
            prometheus(f"sum by (server_address) (rate({COUNT}[$__range]))", instant=True),
            prometheus(
                f"histogram_quantile(0.95, sum by (server_address, le) (rate({BUCKET}[$__range])))", instant=True
            ),
            prometheus(
                f"(sum by (server_address) (rate({FAILED}[$__range])) or 0 * sum by (server_address) (rate({COUNT}[$__range])))"
                f" / sum by (server_address) (rate({COUNT}[$__range]))",
                instant=True,
            ),
        ],
        columns={"server_address": "Server", "Value #A": "Calls", "Value #B": "p95", "Value #C": "Failed"},
        empty=NO_CALLS,
        sort="Calls",
        overrides=[
            override("Server", custom__minWidth=90),
            override("Calls", unit="reqps", custom__width=95),
            override("p95", unit="s", custom__width=80),
            override(
                "Failed",
                unit="percentunit",
                custom__width=75,
                custom__cellOptions={"type": "color-text"},
                thresholds=thresholds((None, GREEN), (0.01, YELLOW), (0.05, RED)),
            ),
        ],
    )


def build() -> Json:
    """Build the dashboard."""
    return dashboard(
        "otelflask-dependencies",
        "The service's dependencies: calls over HTTP, redis, circuit breakers.",
        [
            (
                8,
                [
                    (8, _servers()),
                    (
                        8,
                        series(
                            "Calls by status",
                            "Calls over HTTP per second, by status.",
                            [
                                prometheus(
                                    f"sum by (server_address, answer) ({ANSWERED})",
                                    "{{server_address}} {{answer}}",
                                )
                            ],
                            unit="reqps",
                            stack=True,
                            empty=NO_CALLS,
                        ),
                    ),
                    (
                        8,
                        series(
                            "Duration of calls",
                            "p95 of the duration of calls, by server. Each dot is a call: click it to open its trace.",
                            [
                                prometheus(
                                    f"histogram_quantile(0.95, sum by (server_address, le) (rate({BUCKET}[$__rate_interval])))",
                                    "{{server_address}} p95",
                                ),
                                exemplars(BUCKET),
                            ],
                            unit="s",
                            empty=NO_CALLS,
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
                            "Circuit breakers",
                            "The state of each circuit: 0 closed, 1 half-open (trials only), 2 open (no calls). The worst process counts.",
                            [
                                prometheus(
                                    f"max by (otelflask_circuit_breaker_name) (2 * {_in_state('open')} or {_in_state('half_open')})",
                                    "{{otelflask_circuit_breaker_name}}",
                                )
                            ],
                            unit="none",
                            maximum=2,
                            steps=thresholds((None, GREEN), (1, YELLOW), (2, RED)),
                            empty=NO_BREAKERS,
                        ),
                    ),
                    (
                        8,
                        series(
                            "Calls through circuit breakers",
                            "Calls by outcome: success, failure, rejected by an open circuit, or another exception.",
                            [
                                prometheus(
                                    f"sum by (otelflask_circuit_breaker_name, otelflask_circuit_breaker_outcome) (rate({CALLS}[$__rate_interval]))",
                                    "{{otelflask_circuit_breaker_name}} {{otelflask_circuit_breaker_outcome}}",
                                )
                            ],
                            unit="ops",
                            stack=True,
                            overrides=[
                                color("/ success$/", GREEN, regex=True),
                                color("/ failure$/", RED, regex=True),
                                color("/ rejected$/", YELLOW, regex=True),
                            ],
                            empty=NO_BREAKERS,
                        ),
                    ),
                    (
                        8,
                        logs(
                            "Changes of circuits",
                            "Changes of circuits, with their reasons. A line opens to its trace.",
                            f'{LOGS} | event_name="otelflask.circuit_breaker"',
                            empty="No circuit changed in this time.",
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
                            "Redis",
                            "Redis commands per second, from traces.",
                            [traceql_metrics(f"{{ {REDIS} }} | rate() by (span.db.operation.name) | topk(10)")],
                            unit="ops",
                            empty="The app does not use redis, or its extra is not installed.",
                        ),
                    ),
                    (
                        16,
                        table(
                            "Slow and failed calls",
                            "Requests that waited for another service for half a second or more, or got an error from it.",
                            [traceql(f"{{ {OVER_HTTP} && (duration >= 500ms || status = error) }}", limit=20)],
                            columns=TRACE_COLUMNS,
                            overrides=TRACE_WIDTHS,
                            empty="No call was slow or failed in this time.",
                        ),
                    ),
                ],
            ),
        ],
        variables=[service_variable(), environment_variable(), route_variable()],
        annotations=[DEPLOYMENTS],
    )
