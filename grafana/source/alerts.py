"""The alert rules.

Each is one PromQL, LogQL or TraceQL expression. It returns what is wrong, with labels, and nothing when all
is well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from grafana.source import inbox, jobs, slo
from grafana.source.pipeline import lost
from grafana.source.queries import increase

SERVICE = "service_name, deployment_environment_name"


@dataclass(frozen=True)
class Alert:
    """One rule. It fires when `expr` has returned something for `pending` (a Prometheus duration)."""

    name: str
    severity: str
    pending: str
    #: What it means, for whoever looks at the rule.
    summary: str
    #: The end of its mails' subject, after the service and the names that the labels have.
    problem: str
    expr: str
    #: The title of the panel that shows the value. The mail's button opens it for the alert's service.
    panel: str
    #: Of what the value is an amount; empty for none.
    amount: str = ""
    #: How a mail writes the value: ``percent`` for a share of 1, ``seconds``, or a count.
    unit: str = ""
    #: The data source of the expression.
    source: str = "prometheus"
    #: How much longer it fires (a Prometheus duration), so that a value that comes and goes makes one mail.
    keep: str = ""
    #: The state if the query fails. A server that is down is an alert of its own: the others wait.
    on_error: str = "KeepLast"
    #: Where the button leads, instead of the panel.
    page: str = ""
    #: Whether the collector brings what it reads.
    from_collector: bool = True
    #: By the value of the label `slo`: the panel, where it depends on it.
    panels: Mapping[str, str] = field(default_factory=dict)


def _share(expr: str) -> str:
    """A share for people: to a tenth of a percent."""
    return f"round({expr}, 0.001)"


#: Whether the collector is there, as Prometheus sees it.
COLLECTOR = 'max(up{job="collector"})'


def _burns(window: str, factor: float) -> str:
    return (
        f"otelflask:slo_errors:ratio_rate{window} > on (slo) group_left ()"
        f" ({factor:g} * (1 - otelflask:slo_objective:ratio))"
    )


#: Every group of errors, of every service.
_GROUPS = '{report="group"}'
_GROUP = f"{SERVICE}, {inbox.KEY}"
_OF_GROUPS = {"by": _GROUP, "of": _GROUPS}
_RECENTLY = "10m"


def _titled(query: str) -> str:
    return inbox.titled(query, _RECENTLY, **_OF_GROUPS)


def _about_a_group(name: str, summary: str, problem: str, query: str, *, keep: str = "") -> Alert:
    return Alert(
        name,
        "ticket",
        # A Loki that has just started may not know its past yet.
        "1m",
        summary,
        problem,
        _titled(query),
        "Inbox",
        amount="in ten minutes",
        source="loki",
        keep=keep,
        page="/d/otelflask-error-group",
    )


def _is_down(name: str, source: str, expr: str, lost_sight: str) -> Alert:
    """A server that does not answer. Grafana sees it by the failing query, whatever else is down."""
    return Alert(
        f"{name}Down",
        "page",
        "1m",
        f"{name} does not answer Grafana.",
        f"{name} does not answer: nobody sees {lost_sight}",
        expr,
        "Stations",
        source=source,
        on_error="Alerting",
        from_collector=False,
    )


#: A group that occurs all the time occurs in a new release as well, which is not news.
_BACK_IN_RELEASE = (
    f"({inbox.in_new_release(_RECENTLY, **_OF_GROUPS)}) unless {inbox.seen('1h', **_OF_GROUPS, offset=_RECENTLY)}"
)
_OCCURS = inbox.occurrences(_RECENTLY, **_OF_GROUPS)
#: More than 30 times, which excludes chance, more than five times as often as in the mean of the day before and of the
#: hour before, and no bug of the last hour, which had no day.
_SPIKE = (
    f"({_OCCURS} > 30 and {_OCCURS} > 5 * {inbox.occurrences('1d', **_OF_GROUPS, offset=_RECENTLY)} / 144"
    f" and {inbox.seen('1d', **_OF_GROUPS, offset='1h')})"
    f" unless ({_OCCURS} <= 5 * {inbox.occurrences('1h', **_OF_GROUPS, offset=_RECENTLY)} / 6)"
)
#: An alert about a rate goes on for so long. After a gap in the samples, the first few requests are not a rate, and would
#: end it for a moment.
_WHILE_FEW = "5m"
#: On no one's own machine.
_LASTING = 'deployment_environment_name!~"(?i)(dev|test|local).*"'
_JOB = f"{SERVICE}, {jobs.NAME}"
_NO_COMMAND = 'otelflask_job_system!="command"'
_ENDED = f"otelflask_job_duration_seconds_count{{{_NO_COMMAND}}}"
_FAILED = f'otelflask_job_duration_seconds_count{{{_NO_COMMAND},otelflask_job_result=~"failure|lost"}}'
_QUEUE = f"{SERVICE}, messaging_destination_name"


def _were_there(series: str, by: str) -> str:
    """What has been there for an hour or more in the last day, but not in the last ten minutes."""
    return (
        f"(count_over_time((group by ({by}) ({series}{{{_LASTING}}}))[1d:5m] offset 10m) >= 12)"
        f" unless group by ({by}) (last_over_time({series}[10m]))"
        # Then nobody hears of anything, and TargetDown says so.
        f" unless on () ({COLLECTOR} == 0)"
    )


ALERTS = (
    Alert(
        "ErrorBudgetBurnsFast",
        "page",
        "2m",
        "A service uses up an error budget within days.",
        "error budget is used up within days",
        _share(f"({_burns('1h', 14.4)} and {_burns('5m', 14.4)}) or ({_burns('6h', 6)} and {_burns('30m', 6)})"),
        slo.BURN_RATES["availability"],
        amount="of its requests miss the objective",
        unit="percent",
        panels=slo.BURN_RATES,
    ),
    Alert(
        "ErrorBudgetBurnsSlowly",
        "ticket",
        "15m",
        "A service will miss an objective.",
        "objective will be missed",
        _share(f"{_burns('3d', 1)} and {_burns('6h', 1)}"),
        slo.BURN_RATES["availability"],
        amount="of its requests miss the objective",
        unit="percent",
        panels=slo.BURN_RATES,
    ),
    Alert(
        "HighErrorRate",
        "page",
        "2m",
        "More than 5 % of a service's requests fail (5xx).",
        "more than 5 % of requests fail",
        _share(
            f"sum by ({SERVICE}) (otelflask:errors:rate2m) / sum by ({SERVICE}) (otelflask:requests:rate2m) > 0.05"
            # A request or two are not a rate.
            f" and sum by ({SERVICE}) (otelflask:requests:rate2m) > 0.02"
        ),
        "Share of errors",
        amount="of its requests",
        unit="percent",
        keep=_WHILE_FEW,
    ),
    _about_a_group(
        "NewErrorGroup",
        "A bug occurred that was never seen before.",
        "was never seen before",
        inbox.new(_RECENTLY, **_OF_GROUPS),
    ),
    _about_a_group(
        "ErrorGroupBack",
        "A bug came back, after a quiet day or in a new release.",
        "came back, after a quiet day or in a new release",
        f"({inbox.back(_RECENTLY, **_OF_GROUPS)}) or ({_BACK_IN_RELEASE})",
    ),
    _about_a_group(
        "ErrorGroupSpike",
        "A bug occurs far more often than before.",
        "occurs far more often than in the day before",
        _SPIKE,
        keep="1h",
    ),
    Alert(
        "HighLatency",
        "page",
        "5m",
        "More than one of twenty requests of a service takes longer than a second.",
        "p95 is above a second",
        f"histogram_quantile(0.95, sum by ({SERVICE}, le) (otelflask:duration_seconds_bucket:rate2m)) > 1"
        f" and sum by ({SERVICE}) (otelflask:requests:rate2m) > 0.02",
        "Duration",
        amount="at p95",
        unit="seconds",
        keep=_WHILE_FEW,
    ),
    _is_down("Prometheus", "prometheus", "vector(1) == 0", "metrics, and no alert about them fires"),
    _is_down("Loki", "loki", "vector(1) == 0", "logs and errors, and no alert about errors fires"),
    _is_down("Tempo", "tempo", '{ resource.service.name = "none" } | rate()', "traces"),
    Alert(
        "TargetDown",
        "page",
        "2m",
        "A service of the stack does not answer Prometheus.",
        "does not answer",
        '(up{job!~"prometheus|loki|tempo"} == bool 0) > 0',
        "Stations",
        from_collector=False,
    ),
    Alert(
        "QueueFilling",
        "ticket",
        "2m",
        "A queue of an app or of the collector is more than half full.",
        "queue is more than half full",
        _share(
            "otelcol_exporter_queue_size / otelcol_exporter_queue_capacity > 0.5"
            f" or sum by ({SERVICE}, instance) (otel_sdk_processor_span_queue_size)"
            f" / sum by ({SERVICE}, instance) (otel_sdk_processor_span_queue_capacity) > 0.5"
            f" or sum by ({SERVICE}, instance) (otel_sdk_processor_log_queue_size)"
            f" / sum by ({SERVICE}, instance) (otel_sdk_processor_log_queue_capacity) > 0.5"
        ),
        "Queues of the collector",
        amount="of the queue",
        unit="percent",
        # It may be an app's queue, which another panel shows.
        page="/d/otelflask-pipeline",
    ),
    Alert(
        "DiskFilling",
        "ticket",
        "5m",
        "The disk of the stack is more than 85 % full.",
        "The disk of the stack is filling",
        _share("max by (device) (system_filesystem_utilization_ratio) > 0.85"),
        "Disk and series",
        amount="of the disk",
        unit="percent",
    ),
    Alert(
        "ServiceSilent",
        "page",
        "1m",
        "A service has sent nothing for ten minutes.",
        "nothing was sent for ten minutes",
        _were_there("target_info", SERVICE),
        "Processes",
    ),
    Alert(
        "HighJobFailureRate",
        "ticket",
        "2m",
        "More than a tenth of the runs of a job fail.",
        "fails",
        _share(
            f"{increase(_FAILED, '10m', by=_JOB)} / {increase(_ENDED, '10m', by=_JOB)} > 0.1"
            # One or two are not a rate. Each error is in the inbox.
            f" and {increase(_FAILED, '10m', by=_JOB)} > 2"
        ),
        "Failed and repeated runs",
        amount="of its runs in ten minutes",
        unit="percent",
        keep=_WHILE_FEW,
    ),
    Alert(
        "JobsLate",
        "ticket",
        "5m",
        "More than one of twenty runs of a job begins more than a minute late.",
        "begins more than a minute late",
        "histogram_quantile(0.95, "
        f"{increase('otelflask_job_queue_duration_seconds_bucket', '5m', by=f'{_JOB}, le')}) > 60",
        "Late jobs",
        amount="at p95",
        unit="seconds",
        keep=_WHILE_FEW,
    ),
    Alert(
        "WorkersSilent",
        "page",
        "1m",
        "No worker has looked at a queue for ten minutes.",
        "queue has no worker",
        f"({_were_there('otelflask_job_queue_length', _QUEUE)})"
        # A service that sends nothing at all is silent, and has its own alert.
        f" and on ({SERVICE}) group by ({SERVICE}) (last_over_time(target_info[10m]))",
        "Waiting jobs",
    ),
    Alert(
        "TelemetryLost",
        "ticket",
        "0s",
        "Spans, log records or metric points are lost.",
        "Telemetry is lost",
        f"{lost('10m')} > 0",
        "What was dropped, and why",
        amount="spans, log records or metric points",
    ),
)
