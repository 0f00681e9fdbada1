"""The arguments of `otelflask.init`, by name and type: providers, functions of the user's, and every setting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypedDict

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, TracerProvider

from otelflask._internal.compat.otel_api import LoggerProvider
from otelflask._internal.error_responses.problem import Problem

#: Several texts: one that holds them, as in an environment variable, or a list.
Texts = str | Sequence[str]
#: ``request_hook(span, environ)`` and ``response_hook(span, status, headers)``, as contrib's instrumentation has them.
RequestHook = Callable[[Span, dict[str, Any]], object]
ResponseHook = Callable[[Span, str, list[tuple[str, str]]], object]


#: Those of `Hooks` that are providers.
PROVIDERS = ("tracer_provider", "meter_provider", "logger_provider")


class Hooks(TypedDict, total=False):
    """What is no setting: it can be given to `init` only. None is as if it were not given."""

    tracer_provider: TracerProvider | None
    meter_provider: MeterProvider | None
    logger_provider: LoggerProvider | None
    request_hook: RequestHook | None
    response_hook: ResponseHook | None
    #: Makes the body of an error that is not answered by a page: anything that a view may return.
    error_renderer: Callable[[Problem], Any] | None
    #: Says which reports are one group, as a list of texts; None for the default.
    error_fingerprint: Callable[[Any], Sequence[str] | None] | None
    #: Objects with ``rollback()``, such as a ``scoped_session``, besides Flask-SQLAlchemy's session.
    rollback_sessions: Iterable[Any] | None
    #: Says who makes the current request; default: Flask-Login's user, where the app has asked for it.
    user: Callable[[], object] | None
    #: Says of a WSGI environ whether who asks may see the live page, where `monitor` is ``on``.
    may_monitor: Callable[[dict[str, Any]], bool] | None


class InitOptions(Hooks, total=False):
    """All that `otelflask.init` and `OtelFlask` take; ``docs/settings.md`` says what each setting does."""

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
    reports: bool | None
    report_level: Literal["warning", "error", "critical", "off"] | None
    reports_per_minute: int | None
    mail_to: Texts | None
    mail_from: str | None
    mail_server: str | None
    mail_security: Literal["starttls", "tls", "none"] | None
    mail_user: str | None
    mail_password: str | None
    mail_per_day: int | None
    grafana_url: str | None
    state_dir: str | None
    error_answers: bool | None
    error_format: Literal["problem", "envelope"] | None
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
    log_file_format: Literal["json", "text"] | None
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
    metrics_token: str | None
    profile_path: str | None
    profile_token: str | None
    profile_share: float | None
    profile_slow: float | None
    profile_count: int | None
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
