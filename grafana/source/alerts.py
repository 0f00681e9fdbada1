"""The alert rules in Grafana's provisioning format.

Each is one PromQL or LogQL expression. It returns what is wrong, with labels, and nothing when all
is well.
"""

from __future__ import annotations

from dataclasses import dataclass

from grafana.source import errors, inbox, pipeline, runtime, service, slo
from grafana.source.panels import Json
from grafana.source.pipeline import lost
from grafana.source.runbooks import sections

SERVICE = "service_name, deployment_environment_name"
WHO = (
    "{{ $labels.service_name }}"
    "{{ with $labels.deployment_environment_name }}{{ if ne . `[no value]` }} ({{ . }}){{ end }}{{ end }}"
)


@dataclass(frozen=True)
class Alert:
    """One rule. It fires when `expr` has returned something for `pending` (a Prometheus duration)."""

    name: str
    severity: str
    pending: str
    summary: str
    expr: str
    #: The title of the panel that shows the value. The mail links to it.
    panel: str
    #: The data source of the expression.
    source: str = "prometheus"
    #: How much longer it fires (a Prometheus duration), so that a value that comes and goes makes one mail.
    keep: str = ""


def _value(format: str) -> str:
    """The value of the expression; empty for a rule that returns nothing, for which Grafana makes the summary too."""
    return f"{{{{ with $values.A.Value }}}}{{{{ . | {format} }}}}{{{{ end }}}}"


def _burns(window: str, factor: float) -> str:
    return (
        f"otelflask:slo_errors:ratio_rate{window} > on (slo) group_left ()"
        f" ({factor:g} * (1 - otelflask:slo_objective:ratio))"
    )


#: The link in a mail about a group.
GROUP_PAGE = (
    "{{ externalURL }}d/otelflask-error-group?var-service={{ $labels.service_name }}"
    "&var-group={{ $labels.otelflask_error_fingerprint }}"
)
#: Every group of errors, of every service.
_GROUPS = '{report="group"}'
_GROUP = f"{SERVICE}, {inbox.KEY}"
_OF_GROUPS = {"by": _GROUP, "of": _GROUPS}
_RECENTLY = "10m"
_GROUP_IS = f"{WHO}: {{{{ $labels.otelflask_error_group }}}}"


def _titled(query: str) -> str:
    return inbox.titled(query, _RECENTLY, **_OF_GROUPS)


#: A group that occurs all the time occurs in a new release as well, which is not news.
_BACK_IN_RELEASE = (
    f"({inbox.in_new_release(_RECENTLY, **_OF_GROUPS)}) unless {inbox.seen('1h', **_OF_GROUPS, offset=_RECENTLY)}"
)

ALERTS = (
    Alert(
        "ErrorBudgetBurnsFast",
        "page",
        "2m",
        f"{WHO} uses up its {{{{ $labels.slo }}}} budget within days",
        f"({_burns('1h', 14.4)} and {_burns('5m', 14.4)}) or ({_burns('6h', 6)} and {_burns('30m', 6)})",
        "Burn rates",
    ),
    Alert(
        "ErrorBudgetBurnsSlowly",
        "ticket",
        "15m",
        f"{WHO} will miss its {{{{ $labels.slo }}}} objective",
        f"{_burns('3d', 1)} and {_burns('6h', 1)}",
        "Burn rates",
    ),
    Alert(
        "HighErrorRate",
        "page",
        "2m",
        f"{WHO}: {_value('humanizePercentage')} of requests fail",
        f"sum by ({SERVICE}) (otelflask:errors:rate2m) / sum by ({SERVICE}) (otelflask:requests:rate2m) > 0.05"
        # A single request in five minutes is not a rate.
        f" and sum by ({SERVICE}) (otelflask:requests:rate2m) > 0.02",
        "Share of errors",
    ),
    Alert(
        "NewErrorGroup",
        "ticket",
        "0s",
        f"{_GROUP_IS}, never seen before",
        _titled(inbox.new(_RECENTLY, **_OF_GROUPS)),
        "Inbox",
        source="loki",
    ),
    Alert(
        "ErrorGroupBack",
        "ticket",
        "0s",
        f"{_GROUP_IS} came back, after a quiet day or in a new release",
        _titled(f"({inbox.back(_RECENTLY, **_OF_GROUPS)}) or ({_BACK_IN_RELEASE})"),
        "Inbox",
        source="loki",
    ),
    Alert(
        "ErrorGroupSpike",
        "ticket",
        "0s",
        f"{_GROUP_IS} occurs far more often than in the day before",
        # Five times the day's mean, and enough occurrences to exclude chance.
        _titled(
            f"{inbox.occurrences(_RECENTLY, **_OF_GROUPS)} > 30"
            f" and {inbox.occurrences(_RECENTLY, **_OF_GROUPS)}"
            f" > 5 * {inbox.occurrences('1d', **_OF_GROUPS, offset=_RECENTLY)} / 144"
        ),
        "Inbox",
        source="loki",
        keep="1h",
    ),
    Alert(
        "HighLatency",
        "page",
        "5m",
        f"{WHO}: p95 is {_value('humanizeDuration')}",
        f"histogram_quantile(0.95, sum by ({SERVICE}, le) (otelflask:duration_seconds_bucket:rate2m)) > 1"
        f" and sum by ({SERVICE}) (otelflask:requests:rate2m) > 0.02",
        "Duration",
    ),
    Alert(
        "TargetDown",
        "page",
        "2m",
        "{{ $labels.job }} does not answer",
        "(up == bool 0) > 0",
        "Stations",
    ),
    Alert(
        "QueueFilling",
        "ticket",
        "2m",
        f"A queue of {{{{ $labels.service_name }}}}{{{{ $labels.exporter }}}} is {_value('humanizePercentage')} full",
        "otelcol_exporter_queue_size / otelcol_exporter_queue_capacity > 0.5"
        f" or sum by ({SERVICE}, instance) (otel_sdk_processor_span_queue_size)"
        f" / sum by ({SERVICE}, instance) (otel_sdk_processor_span_queue_capacity) > 0.5"
        f" or sum by ({SERVICE}, instance) (otel_sdk_processor_log_queue_size)"
        f" / sum by ({SERVICE}, instance) (otel_sdk_processor_log_queue_capacity) > 0.5",
        "Queues of the collector",
    ),
    Alert(
        "DiskFilling",
        "ticket",
        "5m",
        f"The disk of the stack is {_value('humanizePercentage')} full",
        "max by (device) (system_filesystem_utilization_ratio) > 0.85",
        "Disk and series",
    ),
    Alert(
        "ServiceSilent",
        "page",
        "1m",
        f"{WHO} has sent nothing for ten minutes",
        f"group by ({SERVICE}) (last_over_time(target_info[1d] offset 10m))"
        f" unless group by ({SERVICE}) (last_over_time(target_info[10m]))",
        "Processes",
    ),
    Alert(
        "TelemetryLost",
        "ticket",
        "0s",
        f"{_value('humanize')} spans, log records or metric points are lost",
        f"{lost('10m')} > 0",
        "What was dropped, and why",
    ),
)


def build() -> Json:
    """Build the provisioning file."""
    runbooks = {name: number for number, name in enumerate(sections(), start=1)}
    shown = {
        panel["title"]: (dashboard["uid"], str(panel["id"]))
        for dashboard in (module.build() for module in (runtime, pipeline, slo, errors, service))
        for panel in dashboard["panels"]
    }
    rules = []
    for alert in ALERTS:
        dashboard, panel = shown[alert.panel]
        query: Json = {"refId": "A", "expr": alert.expr}
        if alert.source == "loki":
            query["queryType"] = "instant"
        else:
            query.update(instant=True, range=False, legendFormat="__auto")
        threshold = {
            "refId": "B",
            "type": "threshold",
            "expression": "A",
            "datasource": {"type": "__expr__", "uid": "__expr__"},
            "conditions": [{"evaluator": {"type": "gt", "params": [0]}}],
        }
        rules.append(
            {
                "uid": f"otelflask-{alert.name.lower()}",
                "title": alert.name,
                "condition": "B",
                "for": alert.pending,
                **({"keepFiringFor": alert.keep} if alert.keep else {}),
                # No value means that nothing is wrong. A query that fails is reported as an error.
                "noDataState": "OK",
                "execErrState": "Error",
                "labels": {"severity": alert.severity},
                "annotations": {
                    "__dashboardUid__": dashboard,
                    "__panelId__": panel,
                    "summary": alert.summary,
                    **({"description": GROUP_PAGE} if alert.source == "loki" else {}),
                    "runbook_url": f"{{{{ externalURL }}}}d/otelflask-runbooks?viewPanel=panel-{runbooks[alert.name]}",
                },
                "data": [
                    {
                        "refId": "A",
                        "relativeTimeRange": {"from": 600, "to": 0},
                        "datasourceUid": alert.source,
                        "model": query,
                    },
                    {
                        "refId": "B",
                        "relativeTimeRange": {"from": 600, "to": 0},
                        "datasourceUid": "__expr__",
                        "model": threshold,
                    },
                ],
            }
        )
    return {
        "apiVersion": 1,
        "groups": [{"orgId": 1, "name": "otelflask", "folder": "otelflask alerts", "interval": "1m", "rules": rules}],
    }
