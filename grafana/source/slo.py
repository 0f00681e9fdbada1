"""SLO: the objectives, what is left of their error budgets, and how fast these burn."""

from __future__ import annotations

from grafana.source.colors import AMOUNT, ATTENTION, BAD, BUDGET, GOOD, NEUTRAL, WORSE, of_query, shades, thresholds
from grafana.source.dashboard import (
    DEPLOYMENTS,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
)
from grafana.source.panels import series, stat
from grafana.source.queries import Json, prometheus
from grafana.source.selectors import SERVICE

#: The burn rates at which alerts fire, and what they mean.
BURNS = thresholds((None, GOOD), (1, ATTENTION), (6, WORSE), (14.4, BAD))
#: The titles of the panels to which alerts link.
BURN_RATES = {"availability": "Availability: burn rates", "latency": "Latency: burn rates"}
SOON = "It is there a few minutes after the first request."


def _allowed(slo: str) -> str:
    return f'(1 - scalar(otelflask:slo_objective:ratio{{slo="{slo}"}}))'


def _ratio(slo: str, window: str) -> str:
    return f'max(otelflask:slo_errors:ratio_rate{window}{{{SERVICE},slo="{slo}"}})'


def _rows(slo: str, what: str, did: str) -> list[tuple[int, list[tuple[int, Json]]] | str]:
    name = slo.capitalize()
    objective = f'scalar(otelflask:slo_objective:ratio{{slo="{slo}"}})'
    met = f"(1 - {_ratio(slo, '3d')})"
    budget = f'1 - max(otelflask:slo_budget_used:ratio3d{{{SERVICE},slo="{slo}"}})'
    return [
        (
            4,
            [
                (
                    6,
                    stat(
                        f"{name}: objective",
                        f"The objective: the share of requests that should {what}.",
                        prometheus(f'otelflask:slo_objective:ratio{{slo="{slo}"}}'),
                        unit="percentunit",
                        decimals=1,
                        steps=thresholds((None, NEUTRAL)),
                    ),
                ),
                (
                    6,
                    stat(
                        f"{name}: met in 3 days",
                        f"The share of requests of the last three days that {did}. Red: below the objective. {SOON}",
                        # One of the two has a result, and gives the colour.
                        prometheus(f"{met} >= {objective}", "good"),
                        prometheus(f"{met} < {objective}", "bad"),
                        unit="percentunit",
                        decimals=2,
                        overrides=[
                            of_query("A", thresholds=thresholds((None, GOOD))),
                            of_query("B", thresholds=thresholds((None, BAD))),
                        ],
                    ),
                ),
                (
                    6,
                    stat(
                        f"{name}: budget left",
                        "What is left of the error budget of three days. The time before the service's start has used none of it. "
                        f"Negative: the objective is missed. {SOON}",
                        prometheus(budget),
                        unit="percentunit",
                        decimals=0,
                        steps=BUDGET,
                    ),
                ),
                (
                    6,
                    stat(
                        f"{name}: burn rate, 1 h",
                        "How fast does the error budget burn? At 1 it lasts exactly its period. At 14.4, an hour burns 2 % of a month's budget. "
                        f"{SOON}",
                        prometheus(f"{_ratio(slo, '1h')} / {_allowed(slo)}"),
                        unit="short",
                        decimals=2,
                        steps=BURNS,
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
                        BURN_RATES[slo],
                        "The burn rate over 5 and 30 minutes, 1 hour, 6 hours and 3 days. Alerts fire where a long and a short window agree: 14.4 in 1 h and 5 min, 6 in 6 h and 30 min, 1 in 3 d and 6 h.",
                        [
                            prometheus(f"{_ratio(slo, window)} / {_allowed(slo)}", window)
                            for window in ("5m", "30m", "1h", "6h", "3d")
                        ],
                        unit="short",
                        soft_max=2,
                        overrides=[shades(".*", AMOUNT)],
                        steps=thresholds((None, "transparent"), (1, ATTENTION), (6, WORSE), (14.4, BAD)),
                    ),
                ),
                (
                    12,
                    series(
                        f"{name}: budget left over time",
                        "The error budget that is left, over time. Red: the objective is missed.",
                        [prometheus(budget, "left")],
                        unit="percentunit",
                        maximum=1,
                        steps=BUDGET,
                        colored_by_steps=True,
                        fill=0,
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
            *_rows("availability", "not fail (5xx)", "did not fail"),
            "Latency: requests answered within half a second",
            *_rows("latency", "be answered within half a second", "were answered within half a second"),
        ],
        variables=[service_variable(), environment_variable(), route_variable()],
        annotations=[DEPLOYMENTS],
        time_from="now-6h",
    )
