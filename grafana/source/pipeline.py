"""Telemetry pipeline: whether anything is lost between the apps, the collector and the backends."""

from __future__ import annotations

from grafana.source.colors import (
    AMOUNT,
    ATTENTION,
    BAD,
    GOOD,
    NEUTRAL,
    NONE_IS_GOOD,
    color,
    override,
    states,
    thresholds,
)
from grafana.source.dashboard import dashboard, environment_variable, route_variable, service_variable
from grafana.source.panels import series, stat, timeline
from grafana.source.queries import Json, prometheus, total

#: The counters of lost items, at each station.
LOST_BY_APPS = tuple(
    f'otel_sdk_{part}{{error_type!=""}}'
    for part in (
        "processor_span_processed_total",
        "processor_log_processed_total",
        "exporter_span_exported_total",
        "exporter_log_exported_total",
    )
)
ITEMS = ("spans", "log_records", "metric_points")
LOST_BY_COLLECTOR = tuple(
    f"otelcol_{part}_{item}_total"
    for part in ("exporter_send_failed", "exporter_enqueue_failed", "receiver_failed")
    for item in ITEMS
)
LOST_BY_BACKENDS = (
    "loki_discarded_samples_total",
    "tempo_discarded_spans_total",
    "tempo_metrics_generator_spans_discarded_total",
    "prometheus_tsdb_out_of_bound_samples_total",
    "prometheus_tsdb_too_old_samples_total",
)
REFUSED = tuple(f"otelcol_receiver_refused_{item}_total" for item in ITEMS)


def arrived(counter: str, window: str, by: str = "") -> str:
    """What was added to a counter in a time, wherever its last sample before was, and also where its process has ended.

    `increase` needs two samples in the window. A counter that waited for the collector to come back has none for
    minutes, and a new one has none before. A counter that began again counts as `increase` does, or at least by its
    value.
    """
    last = f"last_over_time({counter}[{window}])"
    before = f"last_over_time({counter}[1d] offset {window})"
    added = f"({last} - ({before} or 0 * {last}) >= 0) unless resets({counter}[{window}]) > 0"
    return total(f"({added}) or increase({counter}[{window}]) > 0 or {last}", by)


def lost(window: str, counters: tuple[str, ...] | None = None) -> str:
    """All that these counters of lost items (default: all) have added in a time; 0 where they do not exist."""
    chosen = LOST_BY_APPS + LOST_BY_COLLECTOR + LOST_BY_BACKENDS if counters is None else counters
    return " + ".join(f"({arrived(counter, window)} or vector(0))" for counter in chosen)


#: Whether the counters of each station arrive. Without this, a zero may be old: a service of the last ten minutes must
#: have sent within two, and the stack's own services must answer.
_SERVICES = "group by (service_name) (last_over_time(target_info[10m]))"
_SEND = "group by (service_name) (time() - timestamp(target_info) < 120)"
FRESH_APPS = f"absent({_SERVICES} unless {_SEND}) and on () group({_SEND})"
#: Of processes that have sent within 90 seconds.
_OF_THE_LIVING = "and on (job, instance) (time() - timestamp(target_info) < 90)"
FRESH_COLLECTOR = 'max(up{job="collector"}) > 0'
FRESH_BACKENDS = 'min(up{job=~"prometheus|loki|tempo"}) > 0'
FRESH = f"({FRESH_APPS}) and on () ({FRESH_COLLECTOR}) and on () ({FRESH_BACKENDS})"


def counted(counters: tuple[str, ...] | None = None, fresh: str = FRESH) -> str:
    """What these counters have added in the time range. Zero only while they arrive."""
    found = f"({lost('$__range', counters)})"
    return f"({found} > 0) or ({found} and on () ({fresh}))"


def each(counters: tuple[str, ...], labels: str) -> str:
    """Those of these counters that rose in a step, named by the label `counter`."""
    return " or ".join(
        f"label_replace({arrived(counter, '$__interval', labels)} > 0,"
        f' "counter", "{counter.partition("{")[0].removesuffix("_total")}", "", "")'
        for counter in counters
    )


def _lost(title: str, what: str, counters: tuple[str, ...] | None = None, fresh: str = FRESH) -> Json:
    return stat(
        title,
        f"{what} A dash: the counters do not arrive.",
        prometheus(counted(counters, fresh)),
        unit="short",
        decimals=0,
        steps=NONE_IS_GOOD,
        mappings=states({0: ("nothing", GOOD)}),
    )


def _stations(title: str, what: str, app: str, item: str, backend: str, backend_name: str) -> Json:
    return series(
        title,
        f"Does everything that the apps send arrive? The lines should be equal. If one is lower, {what} wait before it or are "
        "lost there.",
        [
            prometheus(f'sum(rate({app}{{error_type=""}}[$__rate_interval]))', "sent by apps"),
            prometheus(
                f"sum(rate(otelcol_receiver_accepted_{item}_total[$__rate_interval]))", "accepted by the collector"
            ),
            prometheus(f"sum(rate(otelcol_exporter_sent_{item}_total[$__rate_interval]))", "sent by the collector"),
            prometheus(f"sum(rate({backend}[$__rate_interval]))", f"received by {backend_name}"),
        ],
        unit="suffix:/s",
        fill=0,
    )


def build() -> Json:
    """Build the dashboard."""
    return dashboard(
        "otelflask-pipeline",
        "Is anything lost? What apps, collector and backends accepted, refused, queued and dropped.",
        [
            (
                4,
                [
                    (
                        4,
                        _lost(
                            "Lost",
                            "Is anything lost? All items that an app, the collector or a backend counted as lost in this time "
                            "range.",
                        ),
                    ),
                    (
                        4,
                        _lost(
                            "… by apps",
                            "Items that the apps dropped, because a queue was full or no receiver accepted them.",
                            LOST_BY_APPS,
                            FRESH_APPS,
                        ),
                    ),
                    (
                        4,
                        _lost(
                            "… by collector",
                            "Items that the collector dropped, because a backend would never accept them.",
                            LOST_BY_COLLECTOR,
                            FRESH_COLLECTOR,
                        ),
                    ),
                    (
                        4,
                        _lost(
                            "… by backends",
                            "Items that a backend refused for good: too old, too large, too many.",
                            LOST_BY_BACKENDS,
                            FRESH_BACKENDS,
                        ),
                    ),
                    (
                        4,
                        stat(
                            "To be resent",
                            "Items that the collector refused for now. The apps keep them and send them again.",
                            prometheus(counted(REFUSED, FRESH_COLLECTOR)),
                            unit="short",
                            decimals=0,
                            steps=thresholds((None, GOOD), (1, ATTENTION)),
                            mappings=states({0: ("nothing", GOOD)}),
                        ),
                    ),
                    (
                        4,
                        stat(
                            "On disk",
                            "Bytes on disk of what waits for a backend. They grow while a backend is down, and shrink afterwards.",
                            prometheus("sum(otelcol_exporter_queue_size)"),
                            unit="bytes",
                            steps=thresholds((None, NEUTRAL)),
                        ),
                    ),
                ],
            ),
            (
                8,
                [
                    (
                        12,
                        _stations(
                            "Spans from app to Tempo",
                            "spans",
                            "otel_sdk_exporter_span_exported_total",
                            "spans",
                            "tempo_distributor_spans_received_total",
                            "Tempo",
                        ),
                    ),
                    (
                        12,
                        _stations(
                            "Log records from app to Loki",
                            "log records",
                            "otel_sdk_exporter_log_exported_total",
                            "log_records",
                            "loki_distributor_lines_received_total",
                            "Loki",
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
                            "Queues of the apps",
                            "Do the apps fall behind? A full queue (2,048 items by default) drops items.",
                            [
                                prometheus(
                                    f"max by (service_name) (otel_sdk_processor_span_queue_size {_OF_THE_LIVING})",
                                    "{{service_name}} spans",
                                ),
                                prometheus(
                                    f"max by (service_name) (otel_sdk_processor_log_queue_size {_OF_THE_LIVING})",
                                    "{{service_name}} log records",
                                ),
                            ],
                            unit="short",
                        ),
                    ),
                    (
                        8,
                        series(
                            "Queues of the collector",
                            "The used share of each queue on disk. A queue fills when its backend is down or slow.",
                            [
                                prometheus(
                                    "otelcol_exporter_queue_size / otelcol_exporter_queue_capacity", "{{data_type}}"
                                )
                            ],
                            unit="percentunit",
                            soft_max=0.1,
                        ),
                    ),
                    (
                        8,
                        series(
                            "What was dropped, and why",
                            "Lost items by place and reason, when their number arrived. Empty where nothing is lost: see “Lost”.",
                            [
                                prometheus(
                                    each(LOST_BY_APPS, "service_name, error_type"),
                                    "{{service_name}}: {{error_type}} ({{counter}})",
                                ),
                                prometheus(
                                    each(LOST_BY_COLLECTOR, "exporter, receiver"),
                                    "collector {{exporter}}{{receiver}} ({{counter}})",
                                ),
                                prometheus(each(LOST_BY_BACKENDS, "job, reason"), "{{job}}: {{reason}} ({{counter}})"),
                            ],
                            unit="short",
                            bars=True,
                            stack=True,
                            overrides=[color(".*", BAD, regex=True)],
                        ),
                    ),
                ],
            ),
            (
                8,
                [
                    (
                        8,
                        timeline(
                            "Stations",
                            "Is every service of the stack up? Nothing is drawn while Prometheus is down.",
                            [prometheus("max by (job) (min_over_time(up[$__interval]))", "{{job}}")],
                            mappings=states({1: ("up", GOOD), 0: ("down", BAD)}),
                        ),
                    ),
                    (
                        8,
                        series(
                            "Memory of the stack",
                            "Memory of the stack's services.",
                            [
                                prometheus(
                                    'process_resident_memory_bytes{job!=""} or otelcol_process_memory_rss_bytes',
                                    "{{job}}",
                                )
                            ],
                            unit="bytes",
                            stack=True,
                        ),
                    ),
                    (
                        8,
                        series(
                            "Disk and series",
                            "How full is the disk (left axis), and how many series does Prometheus hold?",
                            [
                                prometheus("max(system_filesystem_utilization_ratio)", "disk used"),
                                prometheus("max(prometheus_tsdb_head_series)", "series"),
                            ],
                            unit="percentunit",
                            overrides=[
                                override("series", unit="short", custom__axisPlacement="right"),
                                color("disk used", AMOUNT),
                            ],
                        ),
                    ),
                ],
            ),
        ],
        variables=[service_variable(), environment_variable(), route_variable()],
    )
