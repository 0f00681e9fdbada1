"""Every setting, declared once: name, environment variable, default, type and description.

Precedence: keyword argument > ``app.config["OTELFLASK_<NAME>"]`` > environment > default. What
OpenTelemetry names keeps its ``OTEL_*`` variable, and the rest has an ``OTELFLASK_*`` variable.
The table in ``docs/settings.md`` is made from here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from otelflask._internal.settings.setting import per_app, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The effective settings of one app."""

    service_name: str = setting(
        "OTEL_SERVICE_NAME",
        "",
        "`service.name` of the resource. Empty: the Flask app's import name, unless OTEL_RESOURCE_ATTRIBUTES has one.",
    )
    service_version: str = setting("OTELFLASK_SERVICE_VERSION", "", "`service.version` of the resource.")
    environment: str = setting(
        "OTELFLASK_ENVIRONMENT", "", "`deployment.environment.name` of the resource, such as `production`."
    )
    disabled: bool = per_app(
        "OTEL_SDK_DISABLED",
        False,
        "Turns everything off. The app runs as without otelflask.",
    )
    remote_context: str = per_app(
        "OTELFLASK_REMOTE_CONTEXT",
        "parent",
        "What the caller's `traceparent` becomes: the parent of the request's span, a link on a new trace, or nothing.",
        choices=("parent", "link", "ignore"),
    )
    remote_sampling: str = per_app(
        "OTELFLASK_REMOTE_SAMPLING",
        "ignore",
        "Whether the caller's sampled flag decides if a span is recorded. Use `trust` only when all callers "
        "are your own.",
        choices=("ignore", "trust"),
    )
    excluded_urls: str = per_app(
        "OTEL_PYTHON_FLASK_EXCLUDED_URLS",
        "",
        "Comma-separated regular expressions. Requests with a matching URL leave no telemetry. Empty: "
        "OTEL_PYTHON_EXCLUDED_URLS counts.",
    )
    request_headers: str = per_app(
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST",
        "",
        "Comma-separated names of request headers, or regular expressions, to put on the span.",
    )
    response_headers: str = per_app(
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE",
        "",
        "Comma-separated names of response headers, or regular expressions, to put on the span.",
    )
    sanitized_headers: str = per_app(
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS",
        "",
        "Comma-separated names of headers, or regular expressions, to mask on the span.",
    )
    request_id_header: str = per_app(
        "OTELFLASK_REQUEST_ID_HEADER",
        "X-Request-ID",
        "The header in which a request id is accepted and returned. Empty: none.",
    )
    traceresponse: bool = per_app(
        "OTELFLASK_TRACERESPONSE",
        True,
        "Returns the trace id in a `traceresponse` header (W3C Trace Context 2 draft).",
    )
    request_log: bool = per_app(
        "OTELFLASK_REQUEST_LOG",
        True,
        "Emits one log record per request.",
    )
    reports: bool = setting(
        "OTELFLASK_REPORTS",
        True,
        "Emits error reports, captured by sentry-sdk, as log records. A `SENTRY_DSN` gets them too.",
    )
    report_level: str = setting(
        "OTELFLASK_REPORT_LEVEL",
        "error",
        "The lowest level of a `logging` record that becomes a report.",
        choices=("warning", "error", "critical", "off"),
    )
    reports_per_minute: int = setting(
        "OTELFLASK_REPORTS_PER_MINUTE",
        20,
        "The maximum number of reports of one group that a process sends per minute. All occurrences are counted.",
        minimum=1,
    )
    mail_to: str = setting(
        "OTELFLASK_MAIL_TO",
        "",
        "Comma-separated addresses for mail about groups of errors, at most one mail per group and hour. "
        "Empty: no mail.",
    )
    mail_from: str = setting("OTELFLASK_MAIL_FROM", "", "The sender's address of the mails.")
    mail_server: str = setting(
        "OTELFLASK_MAIL_SERVER",
        "",
        "The SMTP server, `host` or `host:port`. The default port is 587 with `starttls`, 465 with `tls`, 25 "
        "with `none`.",
    )
    mail_security: str = setting(
        "OTELFLASK_MAIL_SECURITY",
        "starttls",
        "The encryption of the connection to the SMTP server. The server's certificate is checked.",
        choices=("starttls", "tls", "none"),
    )
    mail_user: str = setting("OTELFLASK_MAIL_USER", "", "The user name for the SMTP server. Empty: no login.")
    mail_password: str = setting("OTELFLASK_MAIL_PASSWORD", "", "The password for the SMTP server.", secret=True)
    mail_per_day: int = setting(
        "OTELFLASK_MAIL_PER_DAY", 50, "The maximum number of mails that a machine sends per day (UTC).", minimum=1
    )
    grafana_url: str = per_app(
        "OTELFLASK_GRAFANA_URL",
        "",
        "The address of the stack's Grafana, for links to it, such as `http://127.0.0.1:3000`.",
    )
    state_dir: str = setting(
        "OTELFLASK_STATE_DIR",
        "",
        "The folder in which the processes of a machine share files, such as when each group of errors was "
        "mailed. Empty: `otelflask-<user id>` in the temporary directory.",
    )
    error_answers: bool = per_app(
        "OTELFLASK_ERROR_ANSWERS",
        True,
        "Answers errors for which the app has no handler. Off with zero code.",
    )
    error_format: str = per_app(
        "OTELFLASK_ERROR_FORMAT",
        "problem",
        "The format of JSON error responses: problem details (RFC 9457), or an envelope with `success` and `data`.",
        choices=("problem", "envelope"),
    )
    json_paths: str = per_app(
        "OTELFLASK_JSON_PATHS",
        "/api/",
        "Comma-separated prefixes of paths with JSON error responses, whatever the client accepts.",
    )
    database: bool = setting("OTELFLASK_DATABASE", True, "Spans and metrics of SQLAlchemy, where it is installed.")
    slow_query_threshold: float = setting(
        "OTELFLASK_SLOW_QUERY_THRESHOLD",
        1.0,
        "The minimum duration of a slow statement. A WARN record has the statement and the line of code that ran it.",
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
        "A WARN record reports an N+1 if one request runs a statement from the same line at least this often.",
        minimum=2,
    )
    repeated_query_time: float = setting(
        "OTELFLASK_REPEATED_QUERY_TIME",
        0.05,
        "The minimum total time of these runs for an N+1.",
        minimum=0.0,
        unit="seconds",
    )
    libraries: str = setting(
        "OTELFLASK_LIBRARIES",
        "all",
        "Libraries to instrument where their extra is installed: `all`, `none`, or a comma-separated list of "
        "celery, httpx, jinja2, redis, requests, urllib3.",
    )
    logs: bool = setting("OTELFLASK_LOGS", True, "Sends records of the `logging` module.")
    log_level: str = setting(
        "OTEL_PYTHON_LOG_HANDLER_LEVEL",
        "notset",
        "The lowest level that is sent. The loggers' own levels count as usual.",
        choices=("notset", "debug", "info", "warning", "error", "critical"),
    )
    log_console: str = setting(
        "OTELFLASK_LOG_CONSOLE",
        "off",
        "Writes log lines to stderr: `text` for people, `json` for programs. `auto` is `text` in debug mode "
        "and in the environment `development`, else `json`.",
        choices=("off", "auto", "text", "json"),
    )
    log_dir: str = setting(
        "OTELFLASK_LOG_DIR", "", "The folder for `app.log` and `error.log`. Empty: none. Needs `otelflask[files]`."
    )
    log_file_format: str = setting(
        "OTELFLASK_LOG_FILE_FORMAT", "json", "The format of lines in the files.", choices=("json", "text")
    )
    log_file_size: int = setting(
        "OTELFLASK_LOG_FILE_SIZE", 10_000_000, "The size at which a file is rotated.", minimum=1_000, unit="bytes"
    )
    log_file_count: int = setting(
        "OTELFLASK_LOG_FILE_COUNT", 5, "The number of rotated files that are kept of each file.", minimum=1
    )
    log_file_queue_size: int = setting(
        "OTELFLASK_LOG_FILE_QUEUE_SIZE",
        10_000,
        "The maximum number of lines that wait to be written. Further ones are dropped and counted.",
        minimum=1,
    )
    health_path: str = per_app(
        "OTELFLASK_HEALTH_PATH",
        "/health",
        "The path of the health endpoint, with `/live`, `/ready` and `/startup` below it. Empty: none.",
    )
    health_token: str = per_app(
        "OTELFLASK_HEALTH_TOKEN",
        "",
        "With `Authorization: Bearer TOKEN` the answers have details. Empty: they have details in development.",
        secret=True,
    )
    health_redis: str = setting(
        "OTELFLASK_HEALTH_REDIS",
        "",
        "The URL of a redis without which the app is not ready. Empty: no redis is checked.",
    )
    health_drain: float = per_app(
        "OTELFLASK_HEALTH_DRAIN",
        3.0,
        "After SIGTERM, gunicorn with `otelflask.gunicorn` is not ready for this time, but still accepts connections.",
        minimum=0.0,
        unit="seconds",
    )
    monitor: str = per_app(
        "OTELFLASK_MONITOR",
        "auto",
        "The live page. `auto`: in development, for visitors from this machine. `on`: for visitors with "
        "`monitor_token`, or whom `init(may_monitor=function)` admits. `off`: for nobody.",
        choices=("auto", "on", "off"),
    )
    monitor_path: str = per_app(
        "OTELFLASK_MONITOR_PATH",
        "/monitoring",
        "The path of the live page. Empty: none.",
    )
    monitor_token: str = per_app(
        "OTELFLASK_MONITOR_TOKEN",
        "",
        "Opens the live page where `monitor` is `on`: call `/monitoring?token=TOKEN` once, which sets a cookie.",
        secret=True,
    )
    monitor_size: int = setting(
        "OTELFLASK_MONITOR_SIZE",
        10_000,
        "The number of spans and log lines that each worker keeps for the live page. Those of failed and slow "
        "requests are kept longer.",
        minimum=100,
    )
    metrics_path: str = per_app(
        "OTELFLASK_METRICS_PATH",
        "",
        "The path of the metrics page for Prometheus, such as `/metrics`. Empty: none. Needs `otelflask[prometheus]`.",
    )
    metrics_token: str = per_app(
        "OTELFLASK_METRICS_TOKEN",
        "",
        "The metrics page requires `Authorization: Bearer TOKEN`. Empty: it is open in development, and "
        "elsewhere for this machine only.",
        secret=True,
    )
    profile_path: str = per_app(
        "OTELFLASK_PROFILE_PATH",
        "/profiles",
        "The path of stored profiles. Empty: no request is profiled. Needs `otelflask[profile]`.",
    )
    profile_token: str = per_app(
        "OTELFLASK_PROFILE_TOKEN",
        "",
        "With `X-Profile-Token: TOKEN` a request can ask for its profile. Empty: any request can in development.",
        secret=True,
    )
    profile_share: float = per_app(
        "OTELFLASK_PROFILE_SHARE",
        0.0,
        "The share of all requests, from 0 to 1, that is profiled. Only the profiles of slow ones are stored.",
        minimum=0.0,
    )
    profile_slow: float = per_app(
        "OTELFLASK_PROFILE_SLOW",
        1.0,
        "The minimum duration of a slow request, for `profile_share`.",
        minimum=0.0,
        unit="seconds",
    )
    profile_count: int = per_app(
        "OTELFLASK_PROFILE_COUNT",
        50,
        "The number of profiles that are stored in `state_dir`, the newest ones.",
        minimum=1,
    )
    pyroscope_url: str = setting(
        "OTELFLASK_PYROSCOPE_URL",
        "",
        "The Pyroscope server for continuous profiles of each worker, such as `http://127.0.0.1:4040`. Empty: "
        "none. Needs `otelflask[pyroscope]`.",
    )
    breaker_redis: str = setting(
        "OTELFLASK_BREAKER_REDIS",
        "",
        "The URL of a redis in which the processes of a service share the states of their circuit breakers. "
        "Empty: each process has its own states.",
    )
    active_users: bool = setting(
        "OTELFLASK_ACTIVE_USERS",
        True,
        "Counts the users of the last 5 and 15 minutes, if otelflask knows them (Flask-Login, `set_user` or `user=`).",
    )
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
    console: str = setting(
        "OTELFLASK_CONSOLE",
        "off",
        "`traces` prints each ended request as a tree of its spans, log lines and error.",
        choices=("off", "traces"),
    )


#: Settings of the process: those of its first app count. All others may differ from app to app.
PER_PROCESS = tuple(item.name for item in fields(Settings) if not item.metadata["per_app"])
#: Settings of parts that are made for the first app that wants them.
WHEN_WANTED = frozenset({"log_console", "health_redis", "monitor_size", "pyroscope_url"})
