"""Jobs: what runs, what fails, what is late, what waits."""

from __future__ import annotations

from grafana.source.colors import (
    ATTENTION,
    BAD,
    FAILURES,
    GOOD,
    NEUTRAL,
    NONE_IS_GOOD,
    color,
    failed_share,
    override,
    thresholds,
)
from grafana.source.dashboard import (
    DEPLOYMENTS,
    dashboard,
    environment_variable,
    query_variable,
    route_variable,
    service_variable,
)
from grafana.source.panels import logs, series, stat, table
from grafana.source.queries import Json, increase, loki, prometheus, ratio
from grafana.source.requests import newest_spans
from grafana.source.selectors import LINES, SERVICE, SPANS, SPEAKS

NAME = "otelflask_job_name"
JOBS = f'{SERVICE},{NAME}=~"$job_name"'
COUNT = f'otelflask_job_duration_seconds_count{{{JOBS},otelflask_job_system!="command"}}'
BUCKET = f'otelflask_job_duration_seconds_bucket{{{JOBS},otelflask_job_system!="command"}}'
WAITED = f"otelflask_job_queue_duration_seconds_bucket{{{JOBS}}}"
ACTIVE = f'otelflask_job_active{{{JOBS},otelflask_job_system!="command"}} {SPEAKS}'
WAITING = f"otelflask_job_queue_length{{{SERVICE}}} {SPEAKS}"
#: Several workers may look at one queue.
WAITING_BY_QUEUE = f"max by (messaging_destination_name) ({WAITING})"


def _with(result: str) -> str:
    return f'otelflask_job_duration_seconds_count{{{JOBS},otelflask_job_system!="command",otelflask_job_result=~"{result}"}}'


FAILED, RETRIED, LOST = _with("failure|lost"), _with("retry"), _with("lost")
MISSED = f"otelflask_job_missed_total{{{JOBS}}}"
#: One line a run, also of commands, whose processes live too short for rates.
RUNS = f'{LINES} | event_name="otelflask.job" | {NAME}=~"$job_name"'
#: What an empty panel may mean.
NO_JOBS = "Empty where nothing runs jobs of Celery, RQ or APScheduler, or the worker sends no telemetry."
RESULTS = [
    color("/success$/", GOOD, regex=True),
    color("/retry$/", ATTENTION, regex=True),
    color("/(failure|lost)$/", BAD, regex=True),
    color("/(ignored|rejected|revoked|missed)$/", NEUTRAL, regex=True),
]
#: Seconds that a job waits.
LATE = thresholds((None, GOOD), (10, ATTENTION), (60, BAD))


def _job_variable() -> Json:
    return query_variable(
        "job_name",
        "Job",
        f"label_values(otelflask_job_duration_seconds_count{{{SERVICE}}}, {NAME})",
        all_values=".*",
        description="`otelflask.job.name`.",
    )


def _quantile(bucket: str, by: str = "") -> str:
    return f"histogram_quantile(0.95, {increase(bucket, by=f'{by}, le' if by else 'le')})"


def _over_time(bucket: str) -> str:
    return f"histogram_quantile(0.95, sum by ({NAME}, le) (rate({bucket}[$__rate_interval])))"


def _now() -> list[tuple[int, Json]]:
    return [
        (4, stat("Running now", f"Jobs that run. {NO_JOBS}", prometheus(f"sum({ACTIVE})"), unit="none")),
        (
            4,
            stat(
                "Waiting now",
                "Jobs in the queues of the workers that live. Where no worker lives, nobody knows.",
                prometheus(f"sum({WAITING_BY_QUEUE})"),
                unit="none",
            ),
        ),
        (
            4,
            stat(
                "Time in the queue",
                "p95 of the time between when a job was due and its begin, in the whole time range.",
                prometheus(_quantile(WAITED)),
                unit="s",
                steps=LATE,
            ),
        ),
        (
            4,
            stat(
                "Failed runs",
                "The share of runs that an exception ended, or whose process ended first. Attempts that are tried again do "
                f"not count. {NO_JOBS}",
                prometheus(ratio(FAILED, COUNT)),
                unit="percentunit",
                steps=FAILURES,
            ),
        ),
        (
            4,
            stat(
                "Lost runs",
                "Runs whose process has ended before them, for example for lack of memory.",
                prometheus(f"{increase(LOST)} or 0 * {increase(COUNT)}"),
                unit="none",
                decimals=0,
                steps=NONE_IS_GOOD,
            ),
        ),
        (
            4,
            stat(
                "Missed jobs",
                "Jobs that were not run: too late, while the last run went on, expired or revoked.",
                prometheus(f"{increase(MISSED)} or 0 * {increase(COUNT)}"),
                unit="none",
                decimals=0,
                steps=thresholds((None, GOOD), (1, ATTENTION)),
            ),
        ),
    ]


def _table_of_jobs() -> Json:
    return table(
        "Jobs by name",
        f"Runs in the whole time range: how many, their duration, the time in the queue, and which share failed. {NO_JOBS}",
        [
            prometheus(increase(COUNT, by=NAME), instant=True),
            prometheus(_quantile(BUCKET, NAME), instant=True),
            prometheus(_quantile(WAITED, NAME), instant=True),
            prometheus(ratio(FAILED, COUNT, by=NAME), instant=True),
            prometheus(ratio(RETRIED, COUNT, by=NAME), instant=True),
        ],
        columns={
            NAME: "Job",
            "Value #A": "Runs",
            "Value #B": "p95",
            "Value #C": "Waited",
            "Value #D": "Failed",
            "Value #E": "Retried",
        },
        sort="Runs",
        overrides=[
            override("Job", custom__minWidth=120),
            override("Runs", unit="none", decimals=0, custom__width=80),
            override("p95", unit="s", custom__width=80),
            override("Waited", unit="s", custom__width=80),
            failed_share("Failed", 80),
            override("Retried", unit="percentunit", custom__width=80),
        ],
    )


def _table_of_commands() -> Json:
    counted = (
        f'sum by ({NAME}, otelflask_job_result) (count_over_time({RUNS} | otelflask_job_system="command" [$__range]))'
    )
    return table(
        "Commands",
        "Runs of commands in the whole time range, by result. Empty where none has run.",
        [loki(counted, instant=True)],
        columns={NAME: "Command", "otelflask_job_result": "Result", "Value #A": "Runs"},
        sort="Runs",
        overrides=[override("Result", custom__width=90), override("Runs", unit="none", custom__width=80)],
    )


def build() -> Json:
    """Build the dashboard."""
    by_result = f"sum by (otelflask_job_result) (rate({COUNT}[$__rate_interval]))"
    not_well = f"sum by ({NAME}, otelflask_job_result) (rate({_with('failure|lost|retry')}[$__rate_interval]))"
    return dashboard(
        "otelflask-jobs",
        "The service's jobs and commands: what runs, what fails, what is late, what waits.",
        [
            (4, _now()),
            (
                8,
                [
                    (14, _table_of_jobs()),
                    (
                        10,
                        series(
                            "Runs by result",
                            f"Runs that end per second, by result. {NO_JOBS}",
                            [prometheus(by_result, "{{otelflask_job_result}}")],
                            unit="suffix:/s",
                            stack=True,
                            overrides=RESULTS,
                        ),
                    ),
                ],
            ),
            (
                8,
                [
                    (
                        8,
                        series(
                            "Duration of runs",
                            f"p95 of the duration of runs, by job. {NO_JOBS}",
                            [prometheus(_over_time(BUCKET), f"{{{{{NAME}}}}}")],
                            unit="s",
                        ),
                    ),
                    (
                        8,
                        series(
                            "Late jobs",
                            "p95 of the time between when a job was due and its begin, by job.",
                            [prometheus(_over_time(WAITED), f"{{{{{NAME}}}}}")],
                            unit="s",
                        ),
                    ),
                    (
                        8,
                        series(
                            "Waiting jobs",
                            "Jobs in each queue of a worker that lives. More than the workers can do, where it grows.",
                            [prometheus(WAITING_BY_QUEUE, "{{messaging_destination_name}}")],
                            unit="none",
                        ),
                    ),
                ],
            ),
            (
                8,
                [
                    (
                        8,
                        series(
                            "Running jobs",
                            f"Jobs that run, by job. {NO_JOBS}",
                            [prometheus(f"sum by ({NAME}) ({ACTIVE})", f"{{{{{NAME}}}}}")],
                            unit="none",
                            stack=True,
                        ),
                    ),
                    (
                        8,
                        series(
                            "Failed and repeated runs",
                            "Runs per second that failed, were lost, or are tried again, by job.",
                            [prometheus(not_well, f"{{{{{NAME}}}}} {{{{otelflask_job_result}}}}")],
                            unit="suffix:/s",
                            overrides=RESULTS,
                        ),
                    ),
                    (8, _table_of_commands()),
                ],
            ),
            (
                9,
                [
                    (
                        10,
                        logs(
                            "Latest runs that went wrong",
                            "Runs that failed, were lost, missed, revoked or are tried again. A line opens to its trace.",
                            f'{RUNS} | otelflask_job_result!~"success|ignored"',
                        ),
                    ),
                    (
                        14,
                        newest_spans(
                            "Latest slow and failed runs",
                            "The newest runs that took a second or more, or failed. A click on a span opens its trace, with "
                            "what asked for the run.",
                            f'{{ {SPANS} && span.otelflask.job.name=~"$job_name" && (duration >= 1s || status = error) }}',
                            attributes={"otelflask.job.name": "Job", "otelflask.job.result": "Result"},
                            overrides=[override("Result", custom__width=70)],
                        ),
                    ),
                ],
            ),
        ],
        variables=[service_variable(), environment_variable(), _job_variable(), route_variable()],
        annotations=[DEPLOYMENTS],
    )
