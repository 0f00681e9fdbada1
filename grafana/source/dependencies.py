"""Dependencies: the calls of the service to other services, and their outcomes."""

from __future__ import annotations

from grafana.source.colors import ATTENTION, BAD, GOOD, OUTCOMES, STATUS, failed_share, override, states
from grafana.source.dashboard import (
    DEPLOYMENTS,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
)
from grafana.source.panels import logs, series, table, timeline
from grafana.source.queries import Json, exemplars, increase, prometheus, ratio, traceql_metrics
from grafana.source.requests import newest
from grafana.source.selectors import LOGS, SERVICE, SPANS, SPEAKS
from grafana.source.service import PRECISION

COUNT = f"http_client_request_duration_seconds_count{{{SERVICE}}}"
BUCKET = f"http_client_request_duration_seconds_bucket{{{SERVICE}}}"
FAILED = f'http_client_request_duration_seconds_count{{{SERVICE},http_response_status_code!~"[123].."}}'
#: Rates by status code, or by error type where there is no status.
ANSWERED = (
    f'label_replace(label_replace(rate({COUNT}[$__rate_interval]), "answer", "$1", "error_type", "(.+)"), '
    '"answer", "$1", "http_response_status_code", "(.+)")'
)
CALLS = f"otelflask_circuit_breaker_calls_total{{{SERVICE}}}"
#: What an empty panel may mean.
NO_CALLS = "Empty where the app makes no calls by requests, httpx or urllib3, or their extra is not installed."
NO_BREAKERS = "Empty where the app has no circuit breaker."
#: Client spans of this service, over HTTP and to redis.
CLIENT = f"{SPANS} && span:kind=client"
OVER_HTTP = f"{CLIENT} && span.http.request.method != nil"
REDIS = f'{CLIENT} && span.db.system.name="redis"'


def _in_state(state: str) -> str:
    # An open circuit of a quarter of a minute may lie between two steps.
    states = f'otelflask_circuit_breaker_state{{{SERVICE},otelflask_circuit_breaker_state="{state}"}}'
    return f"max_over_time({states}[$__interval]) {SPEAKS}"


def _servers() -> Json:
    return table(
        "Servers",
        "Calls over HTTP by server in the whole time range: how many, their duration, and the share that failed: without an "
        f"answer, or answered with 4xx or 5xx. {NO_CALLS}",
        [
            prometheus(increase(COUNT, by="server_address"), instant=True),
            prometheus(f"histogram_quantile(0.95, {increase(BUCKET, by='server_address, le')})", instant=True),
            prometheus(ratio(FAILED, COUNT, by="server_address"), instant=True),
        ],
        columns={"server_address": "Server", "Value #A": "Calls", "Value #B": "p95", "Value #C": "Failed"},
        sort="Calls",
        overrides=[
            override("Server", custom__minWidth=90),
            override("Calls", unit="none", decimals=0, custom__width=95),
            override("p95", unit="s", custom__width=80),
            failed_share("Failed", 75),
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
                            f"Calls over HTTP per second, by status. {NO_CALLS}",
                            [
                                prometheus(
                                    f"sum by (server_address, answer) ({ANSWERED})",
                                    "{{server_address}} {{answer}}",
                                )
                            ],
                            unit="reqps",
                            stack=True,
                            overrides=STATUS,
                        ),
                    ),
                    (
                        8,
                        series(
                            "Duration of calls",
                            "p95 of the duration of calls, by server. Each dot is a call: click it to open its trace. "
                            f"{PRECISION}",
                            [
                                prometheus(
                                    f"histogram_quantile(0.95, sum by (server_address, le) (rate({BUCKET}[$__rate_interval])))",
                                    "{{server_address}} p95",
                                ),
                                exemplars(BUCKET),
                            ],
                            unit="s",
                        ),
                    ),
                ],
            ),
            (
                8,
                [
                    (
                        8,
                        timeline(
                            "Circuit breakers",
                            "The state of each circuit over time. Half-open: trials only. Open: no calls. The worst of the "
                            f"processes counts. {NO_BREAKERS}",
                            [
                                prometheus(
                                    f"max by (otelflask_circuit_breaker_name) (2 * ({_in_state('open')}) or ({_in_state('half_open')}))",
                                    "{{otelflask_circuit_breaker_name}}",
                                )
                            ],
                            mappings=states({0: ("closed", GOOD), 1: ("half-open", ATTENTION), 2: ("open", BAD)}),
                        ),
                    ),
                    (
                        8,
                        series(
                            "Calls through circuit breakers",
                            "Calls per second by outcome: success, failure, rejected by an open circuit, or another exception.",
                            [
                                prometheus(
                                    f"sum by (otelflask_circuit_breaker_name, otelflask_circuit_breaker_outcome) (rate({CALLS}[$__rate_interval]))",
                                    "{{otelflask_circuit_breaker_name}} {{otelflask_circuit_breaker_outcome}}",
                                )
                            ],
                            unit="suffix:/s",
                            stack=True,
                            overrides=OUTCOMES,
                        ),
                    ),
                    (
                        8,
                        logs(
                            "Changes of circuits",
                            "Changes of circuits, with their reasons. A line opens to its trace.",
                            f'{LOGS} | event_name="otelflask.circuit_breaker"',
                        ),
                    ),
                ],
            ),
            (
                8,
                [
                    (
                        12,
                        series(
                            "Redis",
                            "Redis commands per second, from the traces that are kept. Empty where the app does not use redis, "
                            "or its extra is not installed.",
                            [traceql_metrics(f"{{ {REDIS} }} | rate() by (span.db.operation.name) | topk(10)")],
                            unit="suffix:/s",
                            legend="right",
                        ),
                    ),
                    (
                        12,
                        newest(
                            "Latest slow and failed calls",
                            "The newest requests that waited for another service for half a second or more, or got an error "
                            "from it.",
                            f"{{ {OVER_HTTP} && (duration >= 500ms || status = error) }}",
                        ),
                    ),
                ],
            ),
        ],
        variables=[service_variable(), environment_variable(), route_variable()],
        annotations=[DEPLOYMENTS],
    )
