"""A dashboard: its variables, its links to the others, its panels in rows."""

from __future__ import annotations

from grafana.source.panels import COLUMNS, PROMETHEUS, Json

#: Titles and uids, in the order in which a person on call opens them.
DASHBOARDS = {
    "otelflask-service": "1 · Service overview",
    "otelflask-route": "2 · Route",
    "otelflask-errors": "3 · Errors",
    "otelflask-logs": "4 · Logs",
    "otelflask-database": "5 · Database",
    "otelflask-runtime": "6 · Runtime",
    "otelflask-dependencies": "7 · Dependencies",
    "otelflask-slo": "8 · SLO",
    "otelflask-pipeline": "9 · Telemetry pipeline",
    "otelflask-error-group": "Error group",
    "otelflask-runbooks": "Runbooks",
    "otelflask-questions": "Questions",
}
#: Dashboards that others do not link to: two that are opened from a row or a mail, and one to learn from.
LED_TO = ("otelflask-error-group", "otelflask-runbooks", "otelflask-questions")
#: The texts of links between dashboards. All fit into one row.
SHORT = {
    uid: title.split(" · ")[-1].removesuffix(" overview").removeprefix("Telemetry ")
    for uid, title in DASHBOARDS.items()
}

#: The selector of a service's series.
SERVICE = 'service_name="$service",deployment_environment_name=~"$environment"'
ROUTE = f'{SERVICE},http_route=~"$route"'
#: Every log line of the service, and one line a request. Without the first matcher, Loki would refuse the query while
#: no service exists.
LOGS = f'{{service_name=~".+",report!="group",{SERVICE}}}'
REQUEST_LOGS = f'{LOGS} | event_name="http.server.request"'
#: One line a report.
REPORTS = f'{{report="whole",{SERVICE}}}'
#: The counts of groups.
GROUPS = f'{{report="group",{SERVICE}}}'
#: The same selector in TraceQL.
TRACES = 'resource.service.name="$service" && span:kind=server'


def _query_variable(name: str, label: str, query: str, *, all_values: bool, description: str) -> Json:
    variable: Json = {
        "type": "query",
        "name": name,
        "label": label,
        "description": description,
        "datasource": PROMETHEUS,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "includeAll": all_values,
        "multi": False,
    }
    if all_values:
        variable["allValue"] = ".*"
        variable["current"] = {"text": "All", "value": "$__all"}
    return variable


def service_variable() -> Json:
    """The service."""
    return _query_variable(
        "service",
        "Service",
        "label_values(target_info, service_name)",
        all_values=False,
        description="`service.name` of an app that has sent metrics in this time.",
    )


def environment_variable() -> Json:
    """The deployment environment."""
    return _query_variable(
        "environment",
        "Environment",
        'label_values(target_info{service_name="$service"}, deployment_environment_name)',
        all_values=True,
        description="`deployment.environment.name`.",
    )


def route_variable(*, all_values: bool = True) -> Json:
    """The route."""
    return _query_variable(
        "route",
        "Route",
        f"label_values(http_server_request_duration_seconds_count{{{SERVICE}}}, http_route)",
        all_values=all_values,
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
        f" unless group by (service_version) (target_info{{{SERVICE}}} offset 1m)"
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
    time_from: str = "now-30m",
    refresh: str = "30s",
) -> Json:
    """Build a dashboard's JSON.

    Args:
        uid: Its uid.
        description: What it answers.
        rows: Rows of ``(height, [(width, panel), …])`` with widths that add up to 24, or headings.
        variables: Variables besides service and environment.
        annotations: Annotations besides deployments.
        time_from: The beginning of the time range.
        refresh: The refresh interval.

    Raises:
        ValueError: A row is not filled.
    """
    panels: list[Json] = []
    top = 0
    for row in rows:
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
        "templating": {"list": variables or []},
        "annotations": {"list": annotations or []},
        "links": [
            {
                "type": "link",
                "title": title.capitalize() if title.islower() else title,
                "url": f"/d/{other}",
                "icon": "",
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "tooltip": "",
                "tags": [],
                "asDropdown": False,
            }
            for other, title in SHORT.items()
            if other not in (uid, *LED_TO)
        ],
        "panels": panels,
    }
