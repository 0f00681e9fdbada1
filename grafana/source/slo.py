"""SLO: the objectives, what is left of their error budgets, and how fast these burn."""

from __future__ import annotations

from grafana.source.dashboard import (
    DEPLOYMENTS,
    SERVICE,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
)
from grafana.source.panels import (
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    Json,
    color,
    prometheus,
    series,
    stat,
    thresholds,
)

WAIT = "a few minutes of requests"


def _allowed(slo: str) -> str:
    return f'(1 - scalar(otelflask:slo_objective:ratio{{slo="{slo}"}}))'


def _ratio(slo: str, window: str) -> str:
    return f'max(otelflask:slo_errors:ratio_rate{window}{{{SERVICE},slo="{slo}"}})'


def _rows(slo: str, what: str) -> list[tuple[int, list[tuple[int, Json]]] | str]:
    budget = f'1 - max(otelflask:slo_budget_used:ratio3d{{{SERVICE},slo="{slo}"}})'
    return [
        (
            4,
            [
                (
                    6,
                    stat(
                        "Objective",
                        f"The objective: the share of requests that should {what}.",
                        prometheus(f'otelflask:slo_objective:ratio{{slo="{slo}"}}'),
                        unit="percentunit",
                        over_time=False,
                        decimals=1,
                    ),
                ),
                (
                    6,
                    stat(
                        "Met in 3 days",
                        "The share of requests that met the objective in the last three days.",
                        prometheus(f"1 - {_ratio(slo, '3d')}"),
                        unit="percentunit",
                        decimals=2,
                        empty=WAIT,
                    ),
                ),
                (
                    6,
                    stat(
                        "Budget left",
                        "The error budget that is left of three days. Negative: the objective is missed.",
                        prometheus(budget),
                        unit="percentunit",
                        decimals=0,
                        steps=thresholds((None, "text"), (-1000, RED), (0, ORANGE), (0.25, GREEN)),
                        empty=WAIT,
                    ),
                ),
                (
                    6,
                    stat(
                        "Burn rate, 1 h",
                        "How fast does the error budget burn? At 1 it lasts exactly its period. At 14.4, an hour burns 2 % of a month's budget.",
                        prometheus(f"{_ratio(slo, '1h')} / {_allowed(slo)}"),
                        unit="short",
                        decimals=2,
                        steps=thresholds((None, GREEN), (1, YELLOW), (6, ORANGE), (14.4, RED)),
                        empty=WAIT,
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
                        "Burn rates",
                        "The burn rate over 5 minutes, 1 hour and 6 hours. Alerts fire where a long and a short window agree: 14.4 in 1 h and 5 min, 6 in 6 h and 30 min, 1 in 3 d and 6 h.",
                        [
                            prometheus(f"{_ratio(slo, window)} / {_allowed(slo)}", window)
                            for window in ("5m", "30m", "1h", "6h", "3d")
                        ],
                        unit="short",
                        soft_max=2,
                        steps=thresholds((None, "transparent"), (1, YELLOW), (6, ORANGE), (14.4, RED)),
                        empty=f"It needs {WAIT}.",
                    ),
                ),
                (
                    12,
                    series(
                        "Budget left over time",
                        "The error budget that is left, over time.",
                        [prometheus(budget, "left")],
                        unit="percentunit",
                        maximum=1,
                        steps=thresholds((None, RED), (0, GREEN)),
                        overrides=[color("left", GREEN)],
                        empty=f"It needs {WAIT}.",
                    ),
                ),
            ],
        ),
    ]


def build() -> Json:
    """Build the dashboard."""
    return dashboard(
        "otelflask-slo",
        "Are the objectives met, how much of their error budgets is left, and how fast does it burn? The objectives are in "
        "collector/prometheus-rules.yaml.",
        [
            "Availability: requests that do not fail (5xx)",
            *_rows("availability", "not fail (5xx)"),
            "Latency: requests answered within half a second",
            *_rows("latency", "be answered within half a second"),
        ],
        variables=[service_variable(), environment_variable(), route_variable()],
        annotations=[DEPLOYMENTS],
        time_from="now-6h",
        refresh="1m",
    )
