"""The alert rules in Grafana's provisioning format."""

from __future__ import annotations

from collections.abc import Mapping

from grafana.source import errors, jobs, pipeline, runtime, service, slo
from grafana.source.alerts import ALERTS, COLLECTOR, Alert
from grafana.source.queries import Json
from grafana.source.runbooks import sections

#: How long an alert goes on without the collector, and how often Prometheus asks again what was true in that time.
_WHILE_UNSEEN = "[1h:1m]"


def _also_unseen(expr: str) -> str:
    """The same, and while the collector is down what was true when it was last seen.

    Nobody knows then what is true now. Without values, Grafana would say that all is well again.
    """
    last_seen = f"max_over_time(timestamp({COLLECTOR} == 1){_WHILE_UNSEEN})"
    last_true = f"max_over_time(timestamp({expr}){_WHILE_UNSEEN})"
    return (
        f"({expr}) or (last_over_time(({expr}){_WHILE_UNSEEN})"
        f" and {last_true} >= on () group_left () {last_seen} and on () {COLLECTOR} == 0)"
    )


def _annotations(alert: Alert, shown: Mapping[str, tuple[str, str]], runbook: int) -> Json:
    """What mails are made of. Without templates, because the page of a rule shows annotations as they are written."""

    def page(panel: str) -> str:
        uid, number = shown[panel]
        return f"/d/{uid}?viewPanel=panel-{number}"

    uid, panel = shown[alert.panel]
    return {
        "__dashboardUid__": uid,
        "__panelId__": panel,
        "summary": alert.summary,
        "problem": alert.problem,
        **({"amount": alert.amount} if alert.amount else {}),
        **({"unit": alert.unit} if alert.unit else {}),
        "page": alert.page or page(alert.panel),
        **{f"page_{slo}": page(title) for slo, title in alert.panels.items()},
        "runbook_url": f"/d/otelflask-runbooks?viewPanel=panel-{runbook}",
    }


def _query(alert: Alert) -> Json:
    query: Json = {"refId": "A", "expr": alert.expr}
    if alert.source == "loki":
        return {**query, "queryType": "instant"}
    if alert.source == "tempo":
        return {"refId": "A", "query": alert.expr, "queryType": "traceql", "metricsQueryType": "instant"}
    expr = _also_unseen(alert.expr) if alert.from_collector else alert.expr
    return {**query, "expr": expr, "instant": True, "range": False, "legendFormat": "__auto"}


def _condition(alert: Alert) -> list[Json]:
    """Expressions after the query: is there a value above zero?"""
    expression = {"datasource": {"type": "__expr__", "uid": "__expr__"}}
    above_zero = {"conditions": [{"evaluator": {"type": "gt", "params": [0]}}]}
    threshold = {"refId": "B", "type": "threshold", "expression": "A", **expression, **above_zero}
    if alert.source != "tempo":
        return [threshold]
    # Tempo answers with series, also for an instant.
    reduced = {"refId": "C", "type": "reduce", "expression": "A", "reducer": "last", **expression}
    return [reduced, {**threshold, "expression": "C"}]


def build() -> Json:
    """Build the provisioning file."""
    runbooks = {name: number for number, name in enumerate(sections(), start=1)}
    shown = {
        panel["title"]: (dashboard["uid"], str(panel["id"]))
        for dashboard in (module.build() for module in (runtime, pipeline, slo, errors, service, jobs))
        for panel in dashboard["panels"]
    }
    times = {"relativeTimeRange": {"from": 600, "to": 0}}
    rules = [
        {
            "uid": f"otelflask-{alert.name.lower()}",
            "title": alert.name,
            "condition": "B",
            "for": alert.pending,
            **({"keepFiringFor": alert.keep} if alert.keep else {}),
            # No value means that nothing is wrong.
            "noDataState": "OK",
            "execErrState": alert.on_error,
            "labels": {"severity": alert.severity},
            "annotations": _annotations(alert, shown, runbooks[alert.name]),
            "data": [
                {"refId": "A", **times, "datasourceUid": alert.source, "model": _query(alert)},
                *(
                    {"refId": model["refId"], **times, "datasourceUid": "__expr__", "model": model}
                    for model in _condition(alert)
                ),
            ],
        }
        for alert in ALERTS
    ]
    return {
        "apiVersion": 1,
        "groups": [{"orgId": 1, "name": "otelflask", "folder": "otelflask alerts", "interval": "1m", "rules": rules}],
    }
