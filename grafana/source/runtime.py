"""Runtime: the resources that the processes use."""

from __future__ import annotations

from grafana.source.colors import BAD, GOOD, override, states
from grafana.source.dashboard import (
    DEPLOYMENTS,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
    text_variable,
)
from grafana.source.panels import series, stat, table, timeline
from grafana.source.queries import LABELS_AS_COLUMNS, TRACE_LINK, Json, link, loki, prometheus
from grafana.source.selectors import ALIVE, REQUEST_LOGS, SERVICE, SPEAKS

NAMED = f"* on (job, instance) group_left (host_name, process_pid) target_info{{{SERVICE}}}"
WORKER = "{{host_name}} · {{process_pid}}"


def of_each(expr: str) -> list[Json]:
    """A value of each process, named by its host and process id."""
    return [prometheus(f"(({expr}) {SPEAKS}) {NAMED}", WORKER)]


def _profiles() -> Json:
    return table(
        "Profiles",
        "The newest profiled requests (X-Profile, profile_share). A click on a profile opens it at the app's address above.",
        [loki(f'{REQUEST_LOGS} | otelflask_profile_id!=""', lines=50)],
        columns={
            "Time": "Time",
            "Line": "Request",
            "otelflask_profile_id": "Profile",
            "trace_id": "Trace ID",
        },
        sort="Time",
        transformations=[LABELS_AS_COLUMNS],
        overrides=[
            override("Time", custom__width=180),
            override("Profile", custom__width=150, links=[link("Open the profile", "${app}/profiles/${__value.raw}")]),
            override(
                "Trace ID",
                custom__width=150,
                links=[TRACE_LINK],
            ),
        ],
    )


def build() -> Json:
    """Build the dashboard."""
    cpu = f"sum by (job, instance) (rate(process_cpu_time_seconds_total{{{SERVICE}}}[$__rate_interval]))"
    return dashboard(
        "otelflask-runtime",
        "The resources of the service's processes: CPU, memory, threads, files, garbage collection.",
        [
            (
                4,
                [
                    (
                        6,
                        stat(
                            "Processes",
                            "How many processes are alive? Each gunicorn worker is one.",
                            prometheus(f"count({ALIVE})"),
                            unit="short",
                        ),
                    ),
                    (
                        6,
                        stat(
                            "Processor",
                            "CPU use of all processes, in processors.",
                            prometheus(f"sum(({cpu}) {SPEAKS})"),
                            unit="short",
                            decimals=2,
                        ),
                    ),
                    (
                        6,
                        stat(
                            "Memory",
                            "Resident memory of all processes.",
                            prometheus(f"sum(process_memory_usage_bytes{{{SERVICE}}} {SPEAKS})"),
                            unit="bytes",
                        ),
                    ),
                    (
                        6,
                        stat(
                            "Youngest process",
                            "The age of the youngest process, up to an hour. If it is short again and again, something ends the processes.",
                            prometheus(
                                f"time() - max(max by (instance) (timestamp(target_info{{{SERVICE}}} unless target_info{{{SERVICE}}} offset 1m)) or max by (instance) (min_over_time(timestamp(target_info{{{SERVICE}}})[1h:1m])))"
                            ),
                            unit="s",
                        ),
                    ),
                ],
            ),
            (
                8,
                [
                    (
                        12,
                        series(
                            "CPU by process",
                            "CPU use by process. 1 is a whole processor.",
                            of_each(cpu),
                            unit="short",
                        ),
                    ),
                    (
                        12,
                        series(
                            "Memory by process",
                            "Does memory keep growing? Resident bytes.",
                            of_each(f"process_memory_usage_bytes{{{SERVICE}}}"),
                            unit="bytes",
                        ),
                    ),
                ],
            ),
            (
                8,
                [
                    (
                        12,
                        series(
                            "Threads by process",
                            "Do threads pile up?",
                            of_each(f"process_thread_count{{{SERVICE}}}"),
                            unit="short",
                        ),
                    ),
                    (
                        12,
                        series(
                            "Open files by process",
                            "Are files or connections left open?",
                            of_each(f"process_open_file_descriptor_count{{{SERVICE}}}"),
                            unit="short",
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
                            "Garbage collections by generation",
                            "Garbage collections per second. Many collections of generation 2 cost time.",
                            [
                                prometheus(
                                    f"sum by (cpython_gc_generation) (rate(cpython_gc_collections_total{{{SERVICE}}}[$__rate_interval]))",
                                    "generation {{cpython_gc_generation}}",
                                )
                            ],
                            unit="suffix:/s",
                        ),
                    ),
                    (
                        8,
                        series(
                            "Collected objects by generation",
                            "Objects per second that the garbage collector freed from cycles.",
                            [
                                prometheus(
                                    f"sum by (cpython_gc_generation) (rate(cpython_gc_collected_objects_total{{{SERVICE}}}[$__rate_interval]))",
                                    "generation {{cpython_gc_generation}}",
                                )
                            ],
                            unit="suffix:/s",
                        ),
                    ),
                    (
                        8,
                        series(
                            "Context switches by kind",
                            "Do processes compete for the CPU (involuntary switches), or wait (voluntary)? Per second.",
                            [
                                prometheus(
                                    f"sum by (type) (rate(process_context_switches_total{{{SERVICE}}}[$__rate_interval]))",
                                    "{{type}}",
                                )
                            ],
                            unit="suffix:/s",
                        ),
                    ),
                ],
            ),
            (
                7,
                [
                    (
                        10,
                        timeline(
                            "Health checks",
                            "The last outcome of each check over time. The worst of the processes counts.",
                            [
                                prometheus(
                                    f"min by (otelflask_health_name) (min_over_time(otelflask_health_check{{{SERVICE}}}[$__interval]) {SPEAKS})",
                                    "{{otelflask_health_name}}",
                                )
                            ],
                            mappings=states({1: ("passes", GOOD), 0: ("fails", BAD)}),
                        ),
                    ),
                    (14, _profiles()),
                ],
            ),
        ],
        variables=[
            service_variable(),
            environment_variable(),
            route_variable(),
            text_variable(
                "app", "Address of the app", "http://127.0.0.1:8000", "The address of the app, which shows profiles."
            ),
        ],
        annotations=[DEPLOYMENTS],
    )
