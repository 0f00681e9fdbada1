"""Runtime: the resources that the processes use."""

from __future__ import annotations

from grafana.source.dashboard import (
    DEPLOYMENTS,
    REQUEST_LOGS,
    SERVICE,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
    text_variable,
)
from grafana.source.panels import (
    LABELS_AS_COLUMNS,
    TEMPO,
    Json,
    explore,
    link,
    loki,
    override,
    prometheus,
    series,
    stat,
    table,
)

#: A dead process stays in Prometheus for five minutes. A living one has reported within 90 seconds.
ALIVE = f"(time() - timestamp(target_info{{{SERVICE}}}) < 90)"
SPEAKS = f"and on (job, instance) {ALIVE}"
NAMED = f"* on (job, instance) group_left (host_name, process_pid) target_info{{{SERVICE}}}"
WORKER = "{{host_name}} · {{process_pid}}"
NO_APP = "No process of this service in this time."


def of_each(expr: str) -> list[Json]:
    """A value of each process, named by its host and process id."""
    return [prometheus(f"(({expr}) {SPEAKS}) {NAMED}", WORKER)]


def _profiles() -> Json:
    return table(
        "Profiles",
        "Profiled requests (X-Profile, profile_share). A click on a profile opens it at the app's address above.",
        [loki(f'{REQUEST_LOGS} | otelflask_profile_id!=""', lines=50)],
        columns={
            "Time": "Time",
            "Line": "Request",
            "otelflask_profile_id": "Profile",
            "trace_id": "Trace ID",
        },
        empty="No request was profiled in this time.",
        sort="Time",
        transformations=[LABELS_AS_COLUMNS],
        overrides=[
            override("Time", custom__width=165),
            override("Profile", custom__width=150, links=[link("Open the profile", "${app}/profiles/${__value.raw}")]),
            override(
                "Trace ID",
                custom__width=150,
                links=[link("Open the trace", explore(TEMPO, {"query": "${__value.raw}", "queryType": "traceql"}))],
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
                            empty="none",
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
                            empty="none",
                        ),
                    ),
                    (
                        6,
                        stat(
                            "Memory",
                            "Resident memory of all processes.",
                            prometheus(f"sum(process_memory_usage_bytes{{{SERVICE}}} {SPEAKS})"),
                            unit="bytes",
                            empty="none",
                        ),
                    ),
                    (
                        6,
                        stat(
                            "Youngest process",
                            "The age of the youngest process. If it is short again and again, something ends the processes.",
                            prometheus(
                                f"time() - max(max by (instance) (timestamp(target_info{{{SERVICE}}} unless target_info{{{SERVICE}}} offset 1m)) or max by (instance) (min_over_time(timestamp(target_info{{{SERVICE}}})[1h:1m])))"
                            ),
                            unit="s",
                            empty="none",
                            over_time=False,
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
                            empty=NO_APP,
                        ),
                    ),
                    (
                        12,
                        series(
                            "Memory by process",
                            "Does memory keep growing? Resident bytes.",
                            of_each(f"process_memory_usage_bytes{{{SERVICE}}}"),
                            unit="bytes",
                            empty=NO_APP,
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
                            empty=NO_APP,
                        ),
                    ),
                    (
                        12,
                        series(
                            "Open files by process",
                            "Are files or connections left open?",
                            of_each(f"process_open_file_descriptor_count{{{SERVICE}}}"),
                            unit="short",
                            empty=NO_APP,
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
                            unit="ops",
                            empty=NO_APP,
                        ),
                    ),
                    (
                        8,
                        series(
                            "Collected objects by generation",
                            "Objects that the garbage collector freed from cycles.",
                            [
                                prometheus(
                                    f"sum by (cpython_gc_generation) (rate(cpython_gc_collected_objects_total{{{SERVICE}}}[$__rate_interval]))",
                                    "generation {{cpython_gc_generation}}",
                                )
                            ],
                            unit="ops",
                            empty=NO_APP,
                        ),
                    ),
                    (
                        8,
                        series(
                            "Context switches by process",
                            "Do processes compete for the CPU (involuntary switches), or wait (voluntary)?",
                            [
                                prometheus(
                                    f"sum by (type) (rate(process_context_switches_total{{{SERVICE}}}[$__rate_interval]))",
                                    "{{type}}",
                                )
                            ],
                            unit="ops",
                            empty=NO_APP,
                        ),
                    ),
                ],
            ),
            (
                7,
                [
                    (
                        10,
                        series(
                            "Health checks",
                            "The last outcome of each check: 1 passed, 0 failed. The worst process counts.",
                            [
                                prometheus(
                                    f"min by (otelflask_health_name) (otelflask_health_check{{{SERVICE}}})",
                                    "{{otelflask_health_name}}",
                                )
                            ],
                            unit="none",
                            maximum=1,
                            empty="No health check in this time.",
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
