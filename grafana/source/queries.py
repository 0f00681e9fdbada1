"""Queries of the three sources, and what they have in common: a ratio, a zero that is known, an age."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

Json = dict[str, Any]

PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
LOKI = {"type": "loki", "uid": "loki"}
TEMPO = {"type": "tempo", "uid": "tempo"}
#: For a panel with queries of several sources.
MIXED = {"type": "datasource", "uid": "-- Mixed --"}


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
    """A TraceQL search: the most recent traces, or their matching spans.

    Without the hint, Tempo returns any that match, and the newest may be missing. To rank by duration, query Loki:
    Tempo sorts by time only.
    """
    return {
        "datasource": TEMPO,
        "queryType": "traceql",
        "query": f"{query} with (most_recent=true)",
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


def total(expr: str, by: str) -> str:
    """The sum by labels, or over all."""
    return f"sum by ({by}) ({expr})" if by else f"sum({expr})"


def increase(selector: str, window: str = "$__range", *, by: str = "") -> str:
    """The increase of counters."""
    return total(f"increase({selector}[{window}])", by)


def ratio(part: str, whole: str, *, by: str = "", window: str = "$__range") -> str:
    """The share of one counter's increase in another's. 0 where only the whole increased; nothing where neither did.

    An average of the ratios of short times would be wrong: it leaves out the time in which the part did not exist,
    and weighs a quiet minute like a busy one.
    """
    of = increase(whole, window, by=by)
    return f"({increase(part, window, by=by)} or 0 * {of}) / ({of} > 0)"


def zero_while(known: str, count: str) -> str:
    """A count, or 0 where only `known` has a result, or nothing: nobody knows that nothing happened."""
    return f"{count} or 0 * {known}"


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


#: On the id of a trace.
TRACE_LINK = link("Open the trace", explore(TEMPO, {"query": "${__value.raw}", "queryType": "traceql"}))
