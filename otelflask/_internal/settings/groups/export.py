"""Export: redaction, limits, queues and intervals."""

from __future__ import annotations

from dataclasses import dataclass

from otelflask._internal.settings.setting import per_app, setting


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Export."""

    runtime_metrics: bool = setting("OTELFLASK_RUNTIME_METRICS", True, "Process and system metrics.")
    redact_names: str = per_app(
        "OTELFLASK_REDACT_NAMES",
        "",
        "Comma-separated parts of names, besides the built-in ones. Values of such names are masked, in all apps.",
    )
    redact_patterns: str = per_app(
        "OTELFLASK_REDACT_PATTERNS",
        "",
        "Regular expressions, separated by spaces. What they match in values is masked, in all apps.",
    )
    value_length: int = setting(
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        8_192,
        "The maximum length of an attribute value.",
        minimum=16,
        unit="characters",
    )
    attribute_count: int = setting(
        "OTEL_ATTRIBUTE_COUNT_LIMIT",
        128,
        "The maximum number of attributes per span, event, link or log record.",
        minimum=1,
    )
    metric_sets: int = setting(
        "OTELFLASK_METRIC_CARDINALITY_LIMIT",
        2_000,
        "The maximum number of attribute sets of one metric. Further ones are summed in the overflow set.",
        minimum=2,
    )
    span_queue_size: int = setting("OTEL_BSP_MAX_QUEUE_SIZE", 2_048, "The maximum number of waiting spans.", minimum=1)
    span_batch_size: int = setting(
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, "The maximum number of spans per export.", minimum=1
    )
    span_schedule_delay: int = setting(
        "OTEL_BSP_SCHEDULE_DELAY",
        5_000,
        "The maximum time that a span waits before it is sent.",
        minimum=1,
        unit="milliseconds",
    )
    log_queue_size: int = setting(
        "OTEL_BLRP_MAX_QUEUE_SIZE", 2_048, "The maximum number of log records that wait to be sent.", minimum=1
    )
    log_batch_size: int = setting(
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", 512, "The maximum number of log records in one export.", minimum=1
    )
    log_schedule_delay: int = setting(
        "OTEL_BLRP_SCHEDULE_DELAY",
        1_000,
        "The maximum time that a log record waits before it is sent.",
        minimum=1,
        unit="milliseconds",
    )
    metric_interval: int = setting(
        "OTEL_METRIC_EXPORT_INTERVAL",
        15_000,
        "The time between two exports of metrics. The dashboards expect at most 15 seconds.",
        minimum=10,
        unit="milliseconds",
    )
    shutdown_timeout: float = setting(
        "OTELFLASK_SHUTDOWN_TIMEOUT",
        5.0,
        "The maximum time that an ending process waits for its telemetry to be sent.",
        minimum=0.0,
        unit="seconds",
    )
