"""Grafana's provisioning, read from its files: queries with their variables replaced, links, alerts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRAFANA = Path(__file__).parents[2] / "grafana"

#: Grafana's built-in variables for a quarter of an hour and a panel of usual width.
BUILT_IN = {
    "__rate_interval": "2m",
    "__interval": "30s",
    "__auto": "30s",
    "__range": "900s",
}


#: A placeholder for the fingerprint of an existing group.
A_GROUP = "@group@"


@dataclass(frozen=True)
class Query:
    """A query and its place."""

    where: str
    datasource: str
    text: str
    #: ``instant``, ``range`` (Prometheus, Loki) or ``exemplars`` (Prometheus), ``search`` or ``metrics`` (Tempo).
    kind: str


def dashboards() -> dict[str, dict[str, Any]]:
    """File name → dashboard."""
    return {path.name: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}


def fill_in(text: str, values: dict[str, str]) -> str:
    """The text with ``$name`` and ``${name}`` replaced, as Grafana does."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return values[name] if name in values else match[0]

    return re.sub(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))", value, text)


def default_values(dashboard: dict[str, Any], service: str) -> dict[str, str]:
    """Each variable's value when the dashboard is opened for a service."""
    values = {**BUILT_IN, "service": service}
    for variable in dashboard["templating"]["list"]:
        if variable["name"] == "service":
            continue
        if variable["name"] == "group":
            values["group"] = A_GROUP
            continue
        values[variable["name"]] = variable["allValue"] if variable.get("includeAll") else variable["current"]["value"]
    return values


def _kind(target: dict[str, Any]) -> str:
    if target["datasource"]["type"] == "tempo":
        return "metrics" if "metricsQueryType" in target else "search"
    if target["datasource"]["type"] == "loki":
        return str(target["queryType"])
    if target.get("exemplar"):
        return "exemplars"
    return "instant" if target["instant"] else "range"


def panel_queries(service: str) -> Iterator[Query]:
    """Every query of every panel, and of every annotation."""
    for name, dashboard in dashboards().items():
        values = default_values(dashboard, service)
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                if target.get("queryType") == "serviceMap":
                    # Grafana's page queries these series itself; test_sampling.py checks them.
                    assert panel["type"] == "nodeGraph"
                    continue
                text = target.get("expr") or target["query"]
                yield Query(
                    f"{name} / {panel['title']} / {target['refId']}",
                    target["datasource"]["uid"],
                    fill_in(text, values),
                    _kind(target),
                )
        for annotation in dashboard["annotations"]["list"]:
            where = f"{name} / annotation {annotation['name']}"
            yield Query(where, annotation["datasource"]["uid"], fill_in(annotation["expr"], values), "range")


def variable_queries(service: str) -> Iterator[tuple[str, str, str]]:
    """Place, selector and label of every ``label_values(selector, label)``."""
    for name, dashboard in dashboards().items():
        values = default_values(dashboard, service)
        for variable in dashboard["templating"]["list"]:
            if variable["type"] != "query":
                continue
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"], re.S)
            assert match, variable["query"]
            yield f"{name} / variable {variable['name']}", fill_in(match[1], values), match[2]


def alerts() -> dict[str, dict[str, Any]]:
    """Name → rule."""
    rules = json.loads((GRAFANA / "provisioning" / "alerting" / "rules.json").read_text())
    return {rule["title"]: rule for group in rules["groups"] for rule in group["rules"]}


def alert_expression(rule: dict[str, Any]) -> str:
    """The PromQL, LogQL or TraceQL of a rule."""
    model = rule["data"][0]["model"]
    return str(model.get("expr") or model["query"])


def source_of(rule: dict[str, Any]) -> str:
    """The data source that a rule queries."""
    return str(rule["data"][0]["datasourceUid"])
