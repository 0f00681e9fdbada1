"""The types of `otelflask.init`'s arguments: providers, functions of the user, and every setting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypedDict

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, TracerProvider

from otelflask._internal.compat.otel_api import LoggerProvider
from otelflask._internal.error_responses.answer import Answer

#: Several texts: one text that contains them, as in an environment variable, or a list.
Texts = str | Sequence[str]
#: ``request_hook(span, environ)`` and ``response_hook(span, status, headers)``, as in contrib's instrumentation.
RequestHook = Callable[[Span, dict[str, Any]], object]
ResponseHook = Callable[[Span, str, list[tuple[str, str]]], object]


#: The `Hooks` that are providers.
PROVIDERS = ("tracer_provider", "meter_provider", "logger_provider")


class Hooks(TypedDict, total=False):
    """Options of `init` that are not settings. None has the same effect as leaving an option out."""

    tracer_provider: TracerProvider | None
    meter_provider: MeterProvider | None
    logger_provider: LoggerProvider | None
    request_hook: RequestHook | None
    response_hook: ResponseHook | None
    #: Returns the body of an answer to an error or a success, unless it is a page: anything that a view may return.
    error_renderer: Callable[[Answer], Any] | None
    #: Returns a list of texts that names the group of an error report; None for the default group.
    error_fingerprint: Callable[[Any], Sequence[str] | None] | None
    #: Objects with ``rollback()``, such as a ``scoped_session``, besides the session of Flask-SQLAlchemy.
    rollback_sessions: Iterable[Any] | None
    #: Returns the user of the current request; default: Flask-Login's user, where the app has loaded it.
    user: Callable[[], object] | None
    #: Returns whether a request, by its WSGI environ, may see the live page, with `monitor` at ``on``.
    may_monitor: Callable[[dict[str, Any]], bool] | None


class InitOptions(Hooks, total=False):
    """All options of `otelflask.init` and `OtelFlask`. ``docs/settings.md`` describes the settings."""

    service_name: str | None
    service_version: str | None
    environment: str | None
    disabled: bool | None
    remote_context: Literal["parent", "link", "ignore"] | None
    remote_sampling: Literal["ignore", "trust"] | None
    excluded_urls: Texts | None
    request_headers: Texts | None
    response_headers: Texts | None
    sanitized_headers: Texts | None
    request_id_header: str | None
    traceresponse: bool | None
    request_log: bool | None
    excluded_commands: Texts | None
    job_traces: Literal["parent", "link"] | None
    websocket_spans: Literal["none", "events", "messages"] | None
    reports: bool | None
    sentry_dsn: str | None
    report_level: Literal["warning", "error", "critical", "off"] | None
    reports_per_minute: int | None
    mail_to: Texts | None
    mail_from: str | None
    mail_server: str | None
    mail_security: Literal["starttls", "tls", "none"] | None
    mail_user: str | None
    mail_password: str | None
    mail_subject_prefix: str | None
    mail_in_debug: bool | None
    mail_per_day: int | None
    grafana_url: str | None
    state_dir: str | None
    error_answers: bool | None
    error_format: Literal["problem", "envelope", "msg"] | None
    timestamp_format: Literal["iso", "epoch"] | None
    json_paths: Texts | None
    database: bool | None
    slow_query_threshold: float | None
    slow_query_plan: bool | None
    repeated_query_count: int | None
    repeated_query_time: float | None
    libraries: Texts | None
    logs: bool | None
    log_level: Literal["notset", "debug", "info", "warning", "error", "critical"] | None
    log_console: Literal["off", "auto", "text", "json"] | None
    log_dir: str | None
    log_file_name: str | None
    log_error_file_name: str | None
    log_file_format: str | None
    log_file_size: int | None
    log_file_count: int | None
    log_file_queue_size: int | None
    health_path: str | None
    health_token: str | None
    health_redis: str | None
    health_drain: float | None
    monitor: Literal["auto", "on", "off"] | None
    monitor_path: str | None
    monitor_token: str | None
    monitor_size: int | None
    metrics_path: str | None
    metrics_flask_names: bool | None
    metrics_token: str | None
    profile_path: str | None
    profile_token: str | None
    profile_share: float | None
    profile_slow: float | None
    profile_count: int | None
    profile_dir: str | None
    pyroscope_url: str | None
    breaker_redis: str | None
    active_users: bool | None
    runtime_metrics: bool | None
    redact_names: Texts | None
    redact_patterns: Texts | None
    value_length: int | None
    attribute_count: int | None
    metric_sets: int | None
    span_queue_size: int | None
    span_batch_size: int | None
    span_schedule_delay: int | None
    log_queue_size: int | None
    log_batch_size: int | None
    log_schedule_delay: int | None
    metric_interval: int | None
    shutdown_timeout: float | None
    console: Literal["off", "traces"] | None
