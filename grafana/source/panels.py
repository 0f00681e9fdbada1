"""Panels in Grafana's classic dashboard JSON (schema v1), with what each of ours must have.

Each panel needs a title, a description of what it answers, a unit, and a text for the case that
there is nothing to show.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
LOKI = {"type": "loki", "uid": "loki"}
TEMPO = {"type": "tempo", "uid": "tempo"}

#: The width of Grafana's grid.
COLUMNS = 24

Json = dict[str, Any]

GREEN, YELLOW, ORANGE, RED, BLUE = "green", "yellow", "orange", "red", "blue"


def prometheus(expr: str, legend: str = "", *, instant: bool = False, heat: bool = False) -> Json:
    """A PromQL query. Use `heat` for the buckets of a heat map."""
    return {
        "datasource": PROMETHEUS,
        "expr": expr,
        "legendFormat": legend or "__auto",
        "instant": instant,
        "range": not instant,
        "format": "heatmap" if heat else "table" if instant else "time_series",
    }


def exemplars(selector: str) -> Json:
    """The exemplars of a graph, and nothing else.

    Exemplars are looked up by the series of a query. No sample is ten years old, so the query itself
    computes nothing.
    """
    return {**prometheus(f"max({selector} offset 10y)", "exemplars"), "exemplar": True}


def loki(expr: str, legend: str = "", *, instant: bool = False, lines: int | None = None) -> Json:
    """A LogQL query. `lines` is the most log lines that it returns, the newest."""
    query = {
        "datasource": LOKI,
        "expr": expr,
        "legendFormat": legend,
        "queryType": "instant" if instant else "range",
    }
    return query if lines is None else {**query, "maxLines": lines}


def traceql(query: str, *, spans: bool = False, limit: int = 50) -> Json:
    """A TraceQL search: traces, or their matching spans."""
    return {
        "datasource": TEMPO,
        "queryType": "traceql",
        "query": query,
        "limit": limit,
        "spss": 10,
        "tableType": "spans" if spans else "traces",
    }


def traceql_metrics(query: str) -> Json:
    """A TraceQL metrics query, over time."""
    return {"datasource": TEMPO, "queryType": "traceql", "query": query, "metricsQueryType": "range", "step": "30s"}


def service_map() -> Json:
    """The service map. Grafana's Tempo data source makes it from the `traces_service_graph_*` series."""
    return {"datasource": TEMPO, "queryType": "serviceMap", "query": ""}


def thresholds(*steps: tuple[float | None, str]) -> Json:
    """Colours by threshold. The value of the first step is None."""
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


def override(name: str, *, regex: bool = False, **properties: Any) -> Json:
    """Properties of the fields with a name. `__` in a property's name stands for a dot."""
    return {
        "matcher": {"id": "byRegexp" if regex else "byName", "options": name},
        "properties": [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()],
    }


def color(name: str, value: str, *, regex: bool = False) -> Json:
    """A fixed colour for a field."""
    return override(name, regex=regex, color={"mode": "fixed", "fixedColor": value})


def shades(pattern: str, value: str) -> Json:
    """Shades of a colour for the fields with a matching name."""
    return override(pattern, regex=True, color={"mode": "shades", "fixedColor": value})


#: Colours of status codes, wherever they are shown.
STATUS_COLORS = [
    shades("^1..|^2..", GREEN),
    shades("^3..", BLUE),
    shades("^4..", YELLOW),
    shades("^5..", RED),
]
LEVEL_COLORS = [
    color("/^debug/i", "text", regex=True),
    color("/^info/i", GREEN, regex=True),
    color("/^warn/i", YELLOW, regex=True),
    color("/^error/i", RED, regex=True),
    color("/^(critical|fatal)/i", "dark-red", regex=True),
]


#: For a table of log lines: each label is a column.
LABELS_AS_COLUMNS = {
    "id": "extractFields",
    "options": {"source": "labels", "format": "json", "keepTime": False, "replace": False},
}


def explore(datasource: Json, query: Json) -> str:
    """The address of Explore with this query. Variables in it are replaced when it is opened."""
    pane = {
        "datasource": datasource["uid"],
        "queries": [{"refId": "A", "datasource": datasource, **query}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    text = json.dumps({"a": pane}, separators=(",", ":"))
    # The placeholders must stay readable for Grafana.
    return "/explore?schemaVersion=1&panes=" + quote(text, safe='${}:_[]"')


def link(title: str, url: str) -> Json:
    """A link on the values of a panel."""
    return {"title": title, "url": url, "targetBlank": False}


def dashboard_url(uid: str, **variables: str) -> str:
    """The address of another dashboard with the same service, environment and time, and with these variables."""
    chosen = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return f"/d/{uid}?${{service:queryparam}}&${{environment:queryparam}}{chosen}&${{__url_time_range}}"


def _panel(
    kind: str,
    title: str,
    description: str,
    targets: list[Json],
    *,
    unit: str,
    empty: str,
    options: Json,
    custom: Json | None = None,
    defaults: Json | None = None,
    overrides: list[Json] | None = None,
    transformations: list[Json] | None = None,
) -> Json:
    for reference, target in zip("ABCDEFGHIJ", targets, strict=False):
        target.setdefault("refId", reference)
    panel: Json = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": targets[0]["datasource"],
        "targets": targets,
        "fieldConfig": {
            "defaults": {"unit": unit, "noValue": empty, "custom": custom or {}, **(defaults or {})},
            "overrides": overrides or [],
        },
        "options": options,
    }
    if transformations:
        panel["transformations"] = transformations
    return panel


def stat(
    title: str,
    description: str,
    target: Json,
    *,
    unit: str,
    empty: str = "no requests",
    steps: Json | None = None,
    decimals: int | None = None,
    over_time: bool = True,
    links: list[Json] | None = None,
    mappings: list[Json] | None = None,
    field: str = "",
) -> Json:
    """One value: the last of the time range, or with `over_time=False` a single result.

    `field` shows the text of one field instead.
    """
    if not over_time and "expr" in target and target["datasource"] is PROMETHEUS:
        target = {**target, "instant": True, "range": False}
    defaults: Json = {"thresholds": steps or thresholds((None, BLUE)), "color": {"mode": "thresholds"}}
    if decimals is not None:
        defaults["decimals"] = decimals
    if links:
        defaults["links"] = links
    if mappings:
        defaults["mappings"] = mappings
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": f"/^{field}$/" if field else "", "values": False},
        "colorMode": "value" if not field else "none",
        "graphMode": "none",
        "justifyMode": "auto",
        "textMode": "value",
        "wideLayout": True,
    }
    return _panel("stat", title, description, [target], unit=unit, empty=empty, options=options, defaults=defaults)


def series(
    title: str,
    description: str,
    targets: list[Json],
    *,
    unit: str,
    empty: str = "Nothing in this time.",
    stack: bool = False,
    bars: bool = False,
    fill: int = 10,
    soft_max: float | None = None,
    maximum: float | None = None,
    steps: Json | None = None,
    overrides: list[Json] | None = None,
    legend: str = "list",
    links: list[Json] | None = None,
) -> Json:
    """Values over time. `steps` draws lines at thresholds."""
    custom: Json = {
        "drawStyle": "bars" if bars else "line",
        "lineWidth": 1 if not bars else 0,
        "fillOpacity": 80 if bars else 40 if stack else fill,
        "showPoints": "never",
        "spanNulls": 120_000,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
        "axisSoftMin": 0,
    }
    defaults: Json = {"color": {"mode": "palette-classic"}}
    if soft_max is not None:
        custom["axisSoftMax"] = soft_max
    if maximum is not None:
        defaults["max"] = maximum
    if steps:
        custom["thresholdsStyle"] = {"mode": "dashed"}
        defaults["thresholds"] = steps
    if links:
        defaults["links"] = links
    options = {
        "legend": {
            "displayMode": legend,
            "placement": "bottom" if legend == "list" else "right",
            "showLegend": True,
            "calcs": [] if legend == "list" else ["mean", "max"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    panel = _panel(
        "timeseries",
        title,
        description,
        targets,
        unit=unit,
        empty=empty,
        options=options,
        custom=custom,
        defaults=defaults,
        overrides=overrides,
    )
    if bars:
        # Wide enough to be visible.
        panel["maxDataPoints"] = 100
    return panel


def heatmap(
    title: str, description: str, targets: list[Json], *, unit: str, empty: str = "Nothing in this time."
) -> Json:
    """Counts by bucket over time."""
    options = {
        "calculate": False,
        "yAxis": {"unit": unit, "axisPlacement": "left"},
        "rowsFrame": {"layout": "auto"},
        "color": {
            "mode": "scheme",
            "scheme": "Blues",
            "fill": "dark-blue",
            "steps": 64,
            "exponent": 0.5,
            "reverse": False,
        },
        "cellGap": 1,
        "filterValues": {"le": 1e-9},
        "exemplars": {"color": "rgba(255,120,10,0.9)"},
        "legend": {"show": False},
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
    }
    return _panel("heatmap", title, description, targets, unit=unit, empty=empty, options=options)


def table(
    title: str,
    description: str,
    targets: list[Json],
    *,
    columns: dict[str, str],
    unit: str = "short",
    empty: str,
    sort: str = "",
    latest_first: str = "",
    overrides: list[Json] | None = None,
    transformations: list[Json] | None = None,
) -> Json:
    """A table. `columns` maps the shown fields to their headings, in this order.

    `sort` is the column by which the table is sorted at first. `latest_first` sorts the rows before
    that, which a table with small graphs needs.
    """
    steps: list[Json] = list(transformations or [])
    if len(targets) > 1:
        steps.append({"id": "merge", "options": {}})
    steps.append({"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}})
    steps.append(
        {
            "id": "organize",
            "options": {
                "renameByName": columns,
                "indexByName": {name: position for position, name in enumerate(columns)},
            },
        }
    )
    if latest_first:
        order = {"field": latest_first, "desc": True}
        steps.append({"id": "sortBy", "options": {"fields": {}, "sort": [order]}})
    options: Json = {"cellHeight": "sm", "showHeader": True, "footer": {"show": False}}
    if sort:
        options["sortBy"] = [{"displayName": sort, "desc": True}]
    return _panel(
        "table",
        title,
        description,
        targets,
        unit=unit,
        empty=empty,
        options=options,
        custom={"align": "auto", "filterable": False},
        # `empty` is for a table without rows, and this for a cell without a value.
        overrides=[override(".*", regex=True, noValue="–"), *(overrides or [])],
        transformations=steps,
    )


def logs(title: str, description: str, expr: str, *, empty: str, lines: int | None = None) -> Json:
    """Log lines, newest first. A line opens to its fields and its trace. `lines` is the number of lines."""
    options = {
        "showTime": lines != 1,
        "showLabels": False,
        "wrapLogMessage": True,
        "prettifyLogMessage": False,
        "enableLogDetails": True,
        "dedupStrategy": "none",
        "sortOrder": "Descending",
    }
    return _panel("logs", title, description, [loki(expr, lines=lines)], unit="short", empty=empty, options=options)


def graph(title: str, description: str, target: Json, *, empty: str) -> Json:
    """Nodes and edges."""
    return _panel(
        "nodeGraph", title, description, [target], unit="short", empty=empty, options={"zoomMode": "cooperative"}
    )


def text(title: str, content: str) -> Json:
    """A Markdown text."""
    return {
        "type": "text",
        "title": title,
        "description": "Where to look and what to do.",
        "options": {"mode": "markdown", "content": content},
    }
