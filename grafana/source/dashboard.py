"""A dashboard: its variables, its links to the others, the age of what it shows, its panels in rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from grafana.source.freshness import freshness
from grafana.source.panels import COLUMNS
from grafana.source.queries import PROMETHEUS, Json
from grafana.source.selectors import CHOSEN_SERVICE, SERVICE

#: Titles and uids, in the order in which a person on call opens them.
DASHBOARDS = {
    "otelflask-service": "1 · Service overview",
    "otelflask-route": "2 · Route",
    "otelflask-errors": "3 · Errors",
    "otelflask-logs": "4 · Logs",
    "otelflask-database": "5 · Database",
    "otelflask-jobs": "6 · Jobs",
    "otelflask-runtime": "7 · Runtime",
    "otelflask-dependencies": "8 · Dependencies",
    "otelflask-slo": "9 · SLO",
    "otelflask-pipeline": "Telemetry pipeline",
    "otelflask-error-group": "Error group",
    "otelflask-runbooks": "Runbooks",
    "otelflask-questions": "Questions",
}


def query_variable(name: str, label: str, query: str, *, all_values: str, description: str) -> Json:
    """A variable with values from Prometheus, because a variable with values from Loki waits forever for one that is down.

    `all_values` is the pattern of its first choice *All*; empty for none. *All* is there whatever is down.
    """
    variable: Json = {
        "type": "query",
        "name": name,
        "label": label,
        "description": description,
        "datasource": PROMETHEUS,
        "query": {"query": query, "refId": name},
        "definition": query,
        # When the page is opened. A later query that fails would empty the variable, and change the service.
        "refresh": 1,
        "sort": 1,
        "includeAll": bool(all_values),
        "multi": False,
    }
    if all_values:
        variable["allValue"] = all_values
        variable["current"] = {"text": "All", "value": "$__all"}
    return variable


def service_variable(*, all_values: bool = False) -> Json:
    """The service.

    Dashboards of what Loki has begin with all services, so that they show something while Prometheus is down.
    """
    return query_variable(
        "service",
        "Service",
        "label_values(target_info, service_name)",
        all_values=".+" if all_values else "",
        description="`service.name` of an app that has sent metrics in this time.",
    )


def environment_variable() -> Json:
    """The deployment environment."""
    return query_variable(
        "environment",
        "Environment",
        f'label_values(target_info{{service_name=~"{CHOSEN_SERVICE}"}}, deployment_environment_name)',
        all_values=".*",
        description="`deployment.environment.name`.",
    )


def route_variable() -> Json:
    """The route."""
    return query_variable(
        "route",
        "Route",
        f"label_values(http_server_request_duration_seconds_count{{{SERVICE}}}, http_route)",
        all_values=".*",
        description="`http.route`, as the app declares it.",
    )


def text_variable(name: str, label: str, default: str, description: str) -> Json:
    """A text field."""
    return {
        "type": "textbox",
        "name": name,
        "label": label,
        "description": description,
        "query": default,
        "current": {"text": default, "value": default},
        "options": [{"text": default, "value": default, "selected": True}],
    }


def choice_variable(name: str, label: str, choices: dict[str, str], description: str) -> Json:
    """One of a few values. `choices` maps labels to values."""
    options = [{"text": text, "value": value, "selected": not n} for n, (text, value) in enumerate(choices.items())]
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "description": description,
        "query": ", ".join(f"{text} : {value}" for text, value in choices.items()),
        "current": {"text": options[0]["text"], "value": options[0]["value"]},
        "options": options,
        "multi": False,
        "includeAll": False,
    }


#: A mark where a version of the service was first seen.
DEPLOYMENTS = {
    "name": "Deployments",
    "datasource": PROMETHEUS,
    "enable": True,
    "hide": True,
    "iconColor": "purple",
    "expr": (
        f'group by (service_version) (target_info{{{SERVICE},service_version!=""}})'
        # Also after an hour without samples.
        f" unless group by (service_version) (last_over_time(target_info{{{SERVICE}}}[1d] offset 1m))"
    ),
    "step": "30s",
    "titleFormat": "Version {{service_version}}",
    "textFormat": "first seen",
    "useValueForTime": False,
}


def dashboard(
    uid: str,
    description: str,
    rows: list[tuple[int, list[tuple[int, Json]]] | str],
    *,
    variables: list[Json] | None = None,
    annotations: list[Json] | None = None,
    is_live: bool = True,
    time_from: str = "now-30m",
    refresh: str = "1m",
) -> Json:
    """Build a dashboard's JSON.

    Args:
        uid: Its uid.
        description: What it answers.
        rows: Rows of ``(height, [(width, panel), …])`` with widths that add up to 24, or headings.
        variables: Variables besides service and environment.
        annotations: Annotations.
        is_live: Whether it shows data. Then its first row says how old they are.
        time_from: The beginning of the time range.
        refresh: The refresh interval.

    Raises:
        ValueError: A row is not filled.
    """
    panels: list[Json] = []
    top = 0
    for row in [freshness(), *rows] if is_live else rows:
        if isinstance(row, str):
            panels.append(
                {
                    "type": "row",
                    "title": row,
                    "id": len(panels) + 1,
                    "collapsed": False,
                    "panels": [],
                    "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
                }
            )
            top += 1
            continue
        height, cells = row
        left = 0
        for width, panel in cells:
            place = {"x": left, "y": top, "w": width, "h": height}
            panels.append({**panel, "id": len(panels) + 1, "gridPos": place})
            left += width
        if left != COLUMNS:
            raise ValueError(f"a row of {uid} is {left} columns wide; allowed are {COLUMNS}")
        top += height
    return {
        "uid": uid,
        "title": DASHBOARDS[uid],
        "description": description,
        "tags": ["otelflask"],
        "schemaVersion": 41,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": time_from, "to": "now"},
        "refresh": refresh,
        "timezone": "browser",
        "templating": {"list": _shown_where_used(variables or [], panels)},
        "annotations": {"list": annotations or []},
        # One menu, because a row of links would wrap. It keeps the variables, also those that are hidden.
        "links": [
            {
                "type": "dashboards",
                "title": "Dashboards",
                "tags": ["otelflask"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "",
                "tooltip": "",
                "url": "",
            }
        ],
        "panels": panels,
    }


def _shown_where_used(variables: list[Json], panels: Iterable[Json]) -> list[Json]:
    """Hide the variables that change no panel. They stay, so that links to other dashboards keep them."""
    queries = [target for panel in panels for target in panel.get("targets", ())]
    text = json.dumps([queries, [panel["title"] for panel in panels], [panel.get("fieldConfig") for panel in panels]])
    # Links carry all variables, and show none.
    text = re.sub(r"\$\{\w+:queryparam\}", "", text)
    return [
        variable if re.search(rf"\$\{{?{variable['name']}\b", text) else {**variable, "hide": 2}
        for variable in variables
    ]
