"""Panels in Grafana's classic dashboard JSON (schema v1), with what each of ours must have.

Each panel needs a title, a description of what it answers, and a unit. The text for "no value" is the
same everywhere and says nothing, because Grafana shows it for an empty result and for a query that
failed. What "nothing" may mean is in the description.
"""

from __future__ import annotations

from grafana.source.colors import AMOUNT, NEUTRAL, no_value, thresholds
from grafana.source.queries import LOKI, MIXED, PROMETHEUS, Json, loki

#: The width of Grafana's grid.
COLUMNS = 24
#: Nobody knows.
UNKNOWN = "–"


def _panel(
    kind: str,
    title: str,
    description: str,
    targets: list[Json],
    *,
    unit: str,
    options: Json,
    custom: Json | None = None,
    defaults: Json | None = None,
    overrides: list[Json] | None = None,
    transformations: list[Json] | None = None,
) -> Json:
    for reference, target in zip("ABCDEFGHIJ", targets, strict=False):
        target.setdefault("refId", reference)
    sources = {target["datasource"]["uid"] for target in targets}
    panel: Json = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": targets[0]["datasource"] if len(sources) == 1 else MIXED,
        "targets": targets,
        "fieldConfig": {
            "defaults": {"unit": unit, "noValue": UNKNOWN, "custom": custom or {}, **(defaults or {})},
            "overrides": overrides or [],
        },
        "options": options,
    }
    if transformations:
        panel["transformations"] = transformations
    return panel


def _at_the_end(target: Json) -> Json:
    """The query, asked for the end of the time range. The last value of a range may be old."""
    if target["datasource"] is PROMETHEUS:
        return {**target, "instant": True, "range": False}
    if target["datasource"] is LOKI:
        return {**target, "queryType": "instant"}
    return target


def stat(
    title: str,
    description: str,
    *targets: Json,
    unit: str,
    steps: Json | None = None,
    decimals: int | None = None,
    links: list[Json] | None = None,
    mappings: list[Json] | None = None,
    overrides: list[Json] | None = None,
    field: str = "",
    of_rows: str = "lastNotNull",
) -> Json:
    """The value at the end of the time range.

    Of several queries, one has a result. `field` shows one field instead, and `of_rows` is its reduction of the rows.
    """
    defaults: Json = {"thresholds": steps or thresholds((None, AMOUNT)), "color": {"mode": "thresholds"}}
    if decimals is not None:
        defaults["decimals"] = decimals
    if links:
        defaults["links"] = links
    # No value has no colour: the base of the thresholds would be one.
    defaults["mappings"] = [*(mappings or []), no_value(UNKNOWN, NEUTRAL)]
    options = {
        "reduceOptions": {"calcs": [of_rows], "fields": f"/^{field}$/" if field else "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "textMode": "value",
        "wideLayout": True,
    }
    asked = [_at_the_end(target) for target in targets]
    return _panel("stat", title, description, asked, unit=unit, options=options, defaults=defaults, overrides=overrides)


def series(
    title: str,
    description: str,
    targets: list[Json],
    *,
    unit: str,
    stack: bool = False,
    bars: bool = False,
    fill: int = 10,
    soft_max: float | None = None,
    maximum: float | None = None,
    steps: Json | None = None,
    colored_by_steps: bool = False,
    overrides: list[Json] | None = None,
    legend: str = "bottom",
    links: list[Json] | None = None,
    rename: tuple[str, str] | None = None,
) -> Json:
    """Values over time.

    `steps` draws lines at thresholds; with `colored_by_steps` they colour the values. `legend` is its place:
    ``bottom``, or ``right`` for long names. `rename` is a pattern in the series' names, and what replaces it.
    """
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
    # Where every count is 0, the axis ends at 1 instead of Grafana's 100.
    if soft_max is None and unit == "none":
        soft_max = 1
    if soft_max is not None:
        custom["axisSoftMax"] = soft_max
    if maximum is not None:
        defaults["max"] = maximum
    if steps:
        custom["thresholdsStyle"] = {"mode": "dashed"}
        defaults["thresholds"] = steps
    if colored_by_steps:
        defaults["color"] = {"mode": "thresholds"}
        custom["gradientMode"] = "scheme"
    if links:
        defaults["links"] = links
    options: Json = {
        "legend": {"displayMode": "list", "placement": legend, "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    if legend == "right":
        # Long names would take the graph's place.
        options["legend"]["width"] = 190
    panel = _panel(
        "timeseries",
        title,
        description,
        targets,
        unit=unit,
        options=options,
        custom=custom,
        defaults=defaults,
        overrides=overrides,
        transformations=[_rename(*rename)] if rename else None,
    )
    if bars:
        # Wide enough to be visible.
        panel["maxDataPoints"] = 100
    return panel


def _rename(pattern: str, replacement: str) -> Json:
    # Between slashes it may match a part of the name.
    return {"id": "renameByRegex", "options": {"regex": f"/{pattern}/", "renamePattern": replacement}}


def timeline(title: str, description: str, targets: list[Json], *, mappings: list[Json]) -> Json:
    """The states of things over time: a row each, coloured by the mapping of its value."""
    options = {
        "mergeValues": True,
        "showValue": "never",
        "alignValue": "left",
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return _panel(
        "state-timeline",
        title,
        description,
        targets,
        unit="none",
        options=options,
        custom={"fillOpacity": 80, "lineWidth": 0, "spanNulls": 120_000},
        defaults={"mappings": mappings, "color": {"mode": "fixed", "fixedColor": "text"}},
    )


def heatmap(title: str, description: str, targets: list[Json], *, unit: str) -> Json:
    """Counts by bucket over time. It has no exemplars, because their dots would hide the rows with few requests."""
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
        "legend": {"show": False},
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
    }
    return _panel("heatmap", title, description, targets, unit=unit, options=options)


def table(
    title: str,
    description: str,
    targets: list[Json],
    *,
    columns: dict[str, str],
    left_out: str = "",
    unit: str = "short",
    sort: str = "",
    overrides: list[Json] | None = None,
    transformations: list[Json] | None = None,
) -> Json:
    """A table. `columns` maps fields to their headings, in this order.

    Only these are shown; with `left_out`, a pattern of names, they come first, and all others are shown that do not
    match it. `sort` is the column by which the table is sorted at first, largest first.
    """
    steps: list[Json] = list(transformations or [])
    if len(targets) > 1:
        steps.append({"id": "merge", "options": {}})
    shown: Json = {"exclude": {"pattern": left_out}} if left_out else {"include": {"names": list(columns)}}
    steps.append({"id": "filterFieldsByName", "options": shown})
    steps.append(
        {
            "id": "organize",
            "options": {
                "renameByName": columns,
                "indexByName": {name: position for position, name in enumerate(columns)},
            },
        }
    )
    options: Json = {"cellHeight": "sm", "showHeader": True, "footer": {"show": False}}
    if sort:
        options["sortBy"] = [{"displayName": sort, "desc": True}]
    return _panel(
        "table",
        title,
        description,
        targets,
        unit=unit,
        options=options,
        custom={"align": "auto", "filterable": False},
        overrides=overrides,
        transformations=steps,
    )


def logs(title: str, description: str, expr: str, *, lines: int | None = None) -> Json:
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
    return _panel("logs", title, description, [loki(expr, lines=lines)], unit="short", options=options)


def graph(title: str, description: str, target: Json) -> Json:
    """Nodes and edges."""
    return _panel("nodeGraph", title, description, [target], unit="short", options={"zoomMode": "cooperative"})


def text(title: str, content: str) -> Json:
    """A Markdown text."""
    return {
        "type": "text",
        "title": title,
        "description": "Where to look and what to do.",
        "options": {"mode": "markdown", "content": content},
    }


def alerts(title: str, description: str) -> Json:
    """The alerts that fire now. Grafana knows them itself, so the list is there whatever else is down."""
    return {
        "type": "alertlist",
        "title": title,
        "description": description,
        "options": {
            "viewMode": "list",
            "groupMode": "default",
            "groupBy": [],
            "maxItems": 20,
            # Newest first: what has just gone down is on top.
            "sortOrder": 5,
            "dashboardAlerts": False,
            "alertName": "",
            "alertInstanceLabelFilter": "",
            "datasource": "-- Grafana --",
            "folder": "",
            "stateFilter": {"firing": True, "pending": False, "noData": False, "normal": False, "error": True},
        },
    }
