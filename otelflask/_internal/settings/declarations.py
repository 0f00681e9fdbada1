"""Every setting, declared once: name, environment variable, default, type, and what it does.

Precedence: keyword argument > ``app.config["OTELFLASK_<NAME>"]`` > environment
> default. What OpenTelemetry already names keeps its ``OTEL_*`` variable;
only what it does not name is ``OTELFLASK_*``. The table in
``docs/settings.md`` is made from here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from otelflask._internal.settings.setting import per_app, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings in force for one app."""

    service_name: str = setting(
        "OTEL_SERVICE_NAME",
        "",
        "`service.name`; empty: the Flask app's import name, unless OTEL_RESOURCE_ATTRIBUTES has one.",
    )
    service_version: str = setting("OTELFLASK_SERVICE_VERSION", "", "`service.version` of the resource.")
    environment: str = setting(
        "OTELFLASK_ENVIRONMENT", "", "`deployment.environment.name` of the resource, such as `production`."
    )
    disabled: bool = per_app(
        "OTEL_SDK_DISABLED",
        False,
        "Turns everything off: the app runs as without otelflask.",
    )
    remote_context: str = per_app(
        "OTELFLASK_REMOTE_CONTEXT",
        "parent",
        "What a caller's `traceparent` becomes: the parent of our span, a link on a new trace, or nothing.",
        choices=("parent", "link", "ignore"),
    )
    remote_sampling: str = per_app(
        "OTELFLASK_REMOTE_SAMPLING",
        "ignore",
        "Whether a caller's sampled flag decides for us: `trust` only when all callers are your own.",
        choices=("ignore", "trust"),
    )
    excluded_urls: str = per_app(
        "OTEL_PYTHON_FLASK_EXCLUDED_URLS",
        "",
        "Comma-separated regular expressions; requests whose URL matches one leave no telemetry. "
        "OTEL_PYTHON_EXCLUDED_URLS is read when this is empty.",
    )
    request_headers: str = per_app(
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST",
        "",
        "Comma-separated request header names or regular expressions put on the span.",
    )
    response_headers: str = per_app(
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE",
        "",
        "Comma-separated response header names or regular expressions put on the span.",
    )
    sanitized_headers: str = per_app(
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS",
        "",
        "Comma-separated header names or regular expressions whose captured values are masked.",
    )
    request_id_header: str = per_app(
        "OTELFLASK_REQUEST_ID_HEADER",
        "X-Request-ID",
        "Header in which a request id is accepted and returned; empty: none.",
    )
    traceresponse: bool = per_app(
        "OTELFLASK_TRACERESPONSE",
        True,
        "Returns the trace id in a `traceresponse` header (W3C Trace Context 2 draft).",
    )
    request_log: bool = per_app(
        "OTELFLASK_REQUEST_LOG",
        True,
        "One log record a request.",
    )
    reports: bool = setting(
        "OTELFLASK_REPORTS",
        True,
        "Error reports, captured by sentry-sdk, as log records; a `SENTRY_DSN` gets them too.",
    )
    report_level: str = setting(
        "OTELFLASK_REPORT_LEVEL",
        "error",
        "Lowest level of a `logging` record that is reported.",
        choices=("warning", "error", "critical", "off"),
    )
    reports_per_minute: int = setting(
        "OTELFLASK_REPORTS_PER_MINUTE",
        20,
        "Reports of one group that a process sends in a minute; further ones are counted.",
        minimum=1,
    )
    mail_to: str = setting(
        "OTELFLASK_MAIL_TO",
        "",
        "Comma-separated addresses that are mailed each new group of error reports, once an hour at most; "
        "empty: no mail from the app.",
    )
    mail_from: str = setting("OTELFLASK_MAIL_FROM", "", "Address that the mails come from.")
    mail_server: str = setting(
        "OTELFLASK_MAIL_SERVER",
        "",
        "SMTP server, `host` or `host:port`; the port is 587 with `starttls`, 465 with `tls`, 25 with `none`.",
    )
    mail_security: str = setting(
        "OTELFLASK_MAIL_SECURITY",
        "starttls",
        "How the connection to the SMTP server is encrypted; its certificate is checked.",
        choices=("starttls", "tls", "none"),
    )
    mail_user: str = setting("OTELFLASK_MAIL_USER", "", "User name for the SMTP server; empty: no login.")
    mail_password: str = setting("OTELFLASK_MAIL_PASSWORD", "", "Password for the SMTP server.", secret=True)
    mail_per_day: int = setting(
        "OTELFLASK_MAIL_PER_DAY", 50, "Most mails that the processes of a machine write in a day (UTC).", minimum=1
    )
    grafana_url: str = per_app(
        "OTELFLASK_GRAFANA_URL",
        "",
        "Address of the stack's Grafana, for links to it, such as `http://127.0.0.1:3000`.",
    )
    state_dir: str = setting(
        "OTELFLASK_STATE_DIR",
        "",
        "Folder in which the processes of a machine share what they have to agree on, such as who has mailed; "
        "empty: `otelflask-<user id>` in the temporary directory.",
    )
    error_answers: bool = per_app(
        "OTELFLASK_ERROR_ANSWERS",
        True,
        "Answers errors that no handler of the app's answers. Off with zero code, which changes no response.",
    )
    error_format: str = per_app(
        "OTELFLASK_ERROR_FORMAT",
        "problem",
        "JSON answers to errors as problem details (RFC 9457), or in an envelope with `success` and `data`.",
        choices=("problem", "envelope"),
    )
    json_paths: str = per_app(
        "OTELFLASK_JSON_PATHS",
        "/api/",
        "Comma-separated beginnings of paths whose errors are JSON, whatever the client accepts.",
    )
    database: bool = setting("OTELFLASK_DATABASE", True, "SQLAlchemy spans and metrics, where SQLAlchemy is installed.")
    slow_query_threshold: float = setting(
        "OTELFLASK_SLOW_QUERY_THRESHOLD",
        1.0,
        "A statement that takes this long is said in a WARN record, with the code that issued it.",
        minimum=0.0,
        unit="seconds",
    )
    slow_query_plan: bool = setting(
        "OTELFLASK_SLOW_QUERY_PLAN",
        False,
        "Adds the plan of a slow SELECT to its record: PostgreSQL, MariaDB, MySQL, SQLite.",
    )
    repeated_query_count: int = setting(
        "OTELFLASK_REPEATED_QUERY_COUNT",
        5,
        "Runs of one statement from one line in one request, from which on it is said in a WARN record (N+1).",
        minimum=2,
    )
    repeated_query_time: float = setting(
        "OTELFLASK_REPEATED_QUERY_TIME",
        0.05,
        "What those runs have to take together.",
        minimum=0.0,
        unit="seconds",
    )
    libraries: str = setting(
        "OTELFLASK_LIBRARIES",
        "all",
        "Other libraries that are instrumented where their extra is installed: `all`, `none`, or some of celery, "
        "httpx, jinja2, redis, requests, urllib3, separated by commas.",
    )
    logs: bool = setting("OTELFLASK_LOGS", True, "Sends records of the `logging` module.")
    log_level: str = setting(
        "OTEL_PYTHON_LOG_HANDLER_LEVEL",
        "notset",
        "Lowest level that is sent; loggers' own levels count as always.",
        choices=("notset", "debug", "info", "warning", "error", "critical"),
    )
    log_console: str = setting(
        "OTELFLASK_LOG_CONSOLE",
        "off",
        "Lines on stderr, one an event: `text` for people, `json` for programs, `auto` is text in debug mode and where "
        "the environment is `development`, and JSON elsewhere.",
        choices=("off", "auto", "text", "json"),
    )
    log_dir: str = setting(
        "OTELFLASK_LOG_DIR", "", "Folder for `app.log` and `error.log`; empty: none. Needs `otelflask[files]`."
    )
    log_file_format: str = setting(
        "OTELFLASK_LOG_FILE_FORMAT", "json", "What a line in the files looks like.", choices=("json", "text")
    )
    log_file_size: int = setting(
        "OTELFLASK_LOG_FILE_SIZE", 10_000_000, "Size at which a file is rotated.", minimum=1_000, unit="bytes"
    )
    log_file_count: int = setting("OTELFLASK_LOG_FILE_COUNT", 5, "Rotated files that are kept of each.", minimum=1)
    log_file_queue_size: int = setting(
        "OTELFLASK_LOG_FILE_QUEUE_SIZE",
        10_000,
        "Most lines waiting to be written; further ones are counted and not written.",
        minimum=1,
    )
    health_path: str = per_app(
        "OTELFLASK_HEALTH_PATH",
        "/health",
        "Where the app answers on its health, with `/live`, `/ready` and `/startup` below; empty: nowhere.",
    )
    health_token: str = per_app(
        "OTELFLASK_HEALTH_TOKEN",
        "",
        "With `Authorization: Bearer TOKEN` the answers have details; where it is empty, they do in development.",
        secret=True,
    )
    health_redis: str = setting(
        "OTELFLASK_HEALTH_REDIS", "", "URL of a redis that the app is not ready without; empty: none is checked."
    )
    health_drain: float = per_app(
        "OTELFLASK_HEALTH_DRAIN",
        3.0,
        "How long a gunicorn with `otelflask.gunicorn` is not ready, and still takes connections, after SIGTERM.",
        minimum=0.0,
        unit="seconds",
    )
    monitor: str = per_app(
        "OTELFLASK_MONITOR",
        "auto",
        "The live page: `auto` in development, for who asks from this machine; `on` for who has `monitor_token` or is "
        "let in by `init(may_monitor=function)`; `off`.",
        choices=("auto", "on", "off"),
    )
    monitor_path: str = per_app(
        "OTELFLASK_MONITOR_PATH",
        "/monitoring",
        "Where the live page is; empty: nowhere.",
    )
    monitor_token: str = per_app(
        "OTELFLASK_MONITOR_TOKEN",
        "",
        "Opens the page where `monitor` is `on`: `/monitoring?token=TOKEN` once, which becomes a cookie.",
        secret=True,
    )
    monitor_size: int = setting(
        "OTELFLASK_MONITOR_SIZE",
        10_000,
        "Spans and log lines that each worker keeps for the page; those of failed and slow requests are kept longer.",
        minimum=100,
    )
    metrics_path: str = per_app(
        "OTELFLASK_METRICS_PATH",
        "",
        "Where the app shows its metrics for Prometheus, such as `/metrics`; empty: nowhere. Needs "
        "`otelflask[prometheus]`.",
    )
    metrics_token: str = per_app(
        "OTELFLASK_METRICS_TOKEN",
        "",
        "They are shown with `Authorization: Bearer TOKEN` only; where it is empty, in development, and else to this "
        "machine only.",
        secret=True,
    )
    profile_path: str = per_app(
        "OTELFLASK_PROFILE_PATH",
        "/profiles",
        "Where kept profiles of requests are shown; empty: no request is profiled. Needs `otelflask[profile]`.",
    )
    profile_token: str = per_app(
        "OTELFLASK_PROFILE_TOKEN",
        "",
        "With `X-Profile-Token: TOKEN` a request can ask for its profile; where it is empty, in development.",
        secret=True,
    )
    profile_share: float = per_app(
        "OTELFLASK_PROFILE_SHARE",
        0.0,
        "Share of all requests, from 0 to 1, that are profiled; only slow ones' profiles are kept.",
        minimum=0.0,
    )
    profile_slow: float = per_app(
        "OTELFLASK_PROFILE_SLOW",
        1.0,
        "From when on such a request is slow.",
        minimum=0.0,
        unit="seconds",
    )
    profile_count: int = per_app(
        "OTELFLASK_PROFILE_COUNT",
        50,
        "Profiles that are kept, the newest, in `state_dir`.",
        minimum=1,
    )
    pyroscope_url: str = setting(
        "OTELFLASK_PYROSCOPE_URL",
        "",
        "Pyroscope server that each worker is profiled for all the time, such as `http://127.0.0.1:4040`; empty: none. "
        "Needs `otelflask[pyroscope]`.",
    )
    breaker_redis: str = setting(
        "OTELFLASK_BREAKER_REDIS",
        "",
        "URL of a redis in which the processes of a service share the states of their circuit breakers; "
        "empty: each process has its own.",
    )
    active_users: bool = setting(
        "OTELFLASK_ACTIVE_USERS",
        True,
        "How many different users were active in the last 5 and 15 minutes, where the app names them.",
    )
    runtime_metrics: bool = setting("OTELFLASK_RUNTIME_METRICS", True, "Process and system metrics.")
    redact_names: str = per_app(
        "OTELFLASK_REDACT_NAMES",
        "",
        "Comma-separated parts of names whose values are masked as well.",
    )
    redact_patterns: str = per_app(
        "OTELFLASK_REDACT_PATTERNS",
        "",
        "Regular expressions, separated by spaces, whose matches in values are masked as well.",
    )
    value_length: int = setting(
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", 8_192, "Longest attribute value.", minimum=16, unit="characters"
    )
    attribute_count: int = setting(
        "OTEL_ATTRIBUTE_COUNT_LIMIT", 128, "Most attributes on a span, event, link or log record.", minimum=1
    )
    metric_sets: int = setting(
        "OTELFLASK_METRIC_CARDINALITY_LIMIT",
        2_000,
        "Most attribute sets of one metric; further ones are summed in the overflow set.",
        minimum=2,
    )
    span_queue_size: int = setting("OTEL_BSP_MAX_QUEUE_SIZE", 2_048, "Most spans waiting to be sent.", minimum=1)
    span_batch_size: int = setting("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, "Most spans in one export.", minimum=1)
    span_schedule_delay: int = setting(
        "OTEL_BSP_SCHEDULE_DELAY", 5_000, "Longest a span waits before it is sent.", minimum=1, unit="milliseconds"
    )
    log_queue_size: int = setting("OTEL_BLRP_MAX_QUEUE_SIZE", 2_048, "Most log records waiting to be sent.", minimum=1)
    log_batch_size: int = setting("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", 512, "Most log records in one export.", minimum=1)
    log_schedule_delay: int = setting(
        "OTEL_BLRP_SCHEDULE_DELAY",
        1_000,
        "Longest a log record waits before it is sent.",
        minimum=1,
        unit="milliseconds",
    )
    metric_interval: int = setting(
        "OTEL_METRIC_EXPORT_INTERVAL",
        15_000,
        "Time between two exports of metrics; the dashboards expect at most this.",
        minimum=10,
        unit="milliseconds",
    )
    shutdown_timeout: float = setting(
        "OTELFLASK_SHUTDOWN_TIMEOUT",
        5.0,
        "Longest that an ending process waits for all its telemetry to be sent.",
        minimum=0.0,
        unit="seconds",
    )
    console: str = setting(
        "OTELFLASK_CONSOLE",
        "off",
        "`traces` prints each finished request as a tree of its spans, logs and error.",
        choices=("off", "traces"),
    )


#: Settings of what a process has once: those of its first app count. All others may differ from app to app.
PER_PROCESS = tuple(item.name for item in fields(Settings) if not item.metadata["per_app"])
#: Those of what is made for the first app that wants it.
WHEN_WANTED = frozenset({"log_console", "health_redis", "monitor_size", "pyroscope_url"})
