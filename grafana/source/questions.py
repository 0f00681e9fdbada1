"""Questions: the four that everybody asks first, each of Loki, Tempo and Prometheus.

``docs/questions.md`` has the same queries, ready to paste.
"""

from __future__ import annotations

from typing import NamedTuple

from grafana.source.colors import override
from grafana.source.dashboard import dashboard, environment_variable, route_variable, service_variable
from grafana.source.panels import logs, series, table, text
from grafana.source.queries import Json, loki, prometheus, traceql, traceql_metrics
from grafana.source.requests import TRACE_COLUMNS, TRACE_WIDTHS

#: Loki refuses a query whose matchers all match the empty text, which `$service` is while there is no service.
_LINES = '{service_name=~".+",service_name="$service"} | event_name="http.server.request"'
_SPANS = 'resource.service.name="$service" && span:kind=server'
_COUNT = "http_server_request_duration_seconds_count"
_SUM = "http_server_request_duration_seconds_sum"


class Question(NamedTuple):
    """A question, and its query in each language."""

    title: str
    logql: str
    traceql: str
    promql: str


def _mean(minutes: int) -> str:
    of = f'{{service_name="$service"}}[{minutes}m]'
    return f"sum by (http_route) (rate({_SUM}{of})) / (sum by (http_route) (rate({_COUNT}{of})) > 0)"


def _mean_of_lines(minutes: int) -> str:
    return f"avg_over_time({_LINES} | unwrap http_server_request_duration [{minutes}m]) by (http_route)"


QUESTIONS = (
    Question(
        "All requests of a service",
        _LINES,
        f"{{ {_SPANS} }}",
        f'sum by (http_route, http_response_status_code) (increase({_COUNT}{{service_name="$service"}}[5m]))',
    ),
    Question(
        "Its errors",
        f'{_LINES} | http_response_status_code=~"5.."',
        f"{{ {_SPANS} && span:status=error }}",
        f'sum by (http_route) (increase({_COUNT}{{service_name="$service",http_response_status_code=~"5.."}}[5m]))',
    ),
    Question(
        "Mean duration by route, over 5 minutes",
        _mean_of_lines(5),
        f"{{ {_SPANS} }} | avg_over_time(span:duration) by (span.http.route)",
        _mean(5),
    ),
    Question(
        "The five slowest routes, over 10 minutes",
        f"topk(5, {_mean_of_lines(10)})",
        f"{{ {_SPANS} }} | avg_over_time(span:duration) by (span.http.route) | topk(5)",
        f"topk(5, {_mean(10)})",
    ),
)

_ROUTE = "Route"
_SECONDS = [override("Mean", unit="s", custom__width=110)]


def _of_prometheus(question: Question, columns: dict[str, str], sort: str) -> Json:
    return table(
        f"{question.title}: Prometheus",
        "From the metrics. PromQL.",
        [prometheus(question.promql, instant=True)],
        columns=columns,
        sort=sort,
        overrides=_SECONDS if sort == "Mean" else [override("Requests", decimals=0, custom__width=110)],
    )


def _row(question: Question) -> list[tuple[int, Json]]:
    if question.traceql.endswith("}"):
        columns = {"http_route": _ROUTE, "http_response_status_code": "Status", "Value": "Requests"}
        return [
            (
                8,
                logs(f"{question.title}: Loki", "From the request log. LogQL.", question.logql, lines=100),
            ),
            (
                8,
                table(
                    f"{question.title}: Tempo",
                    "From the traces. TraceQL.",
                    [traceql(question.traceql)],
                    columns=TRACE_COLUMNS,
                    sort="Start time",
                    overrides=TRACE_WIDTHS,
                ),
            ),
            (8, _of_prometheus(question, columns, "Requests")),
        ]
    return [
        (
            8,
            table(
                f"{question.title}: Loki",
                "From the request log. LogQL.",
                [loki(question.logql, instant=True)],
                columns={"http_route": _ROUTE, "Value #A": "Mean"},
                sort="Mean",
                overrides=_SECONDS,
            ),
        ),
        (
            8,
            series(
                f"{question.title}: Tempo",
                "From the traces, over the chosen time. TraceQL.",
                [traceql_metrics(question.traceql)],
                unit="s",
            ),
        ),
        (8, _of_prometheus(question, {"http_route": _ROUTE, "Value": "Mean"}, "Mean")),
    ]


def build() -> Json:
    """Build the dashboard."""
    rows: list[tuple[int, list[tuple[int, Json]]] | str] = [
        (
            3,
            [
                (
                    24,
                    text(
                        "How to use it",
                        "Four questions, each asked of Loki, Tempo and Prometheus. *Edit* or *Explore* in a panel's menu "
                        "shows its query, to begin from. `docs/questions.md` has them all.",
                    ),
                )
            ],
        )
    ]
    for question in QUESTIONS:
        rows += [question.title, (9, _row(question))]
    return dashboard(
        "otelflask-questions",
        "Four questions about a service, in three query languages.",
        rows,
        variables=[service_variable(), environment_variable(), route_variable()],
    )
