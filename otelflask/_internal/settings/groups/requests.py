"""Requests: spans, request ids, request log and users."""

from __future__ import annotations

from dataclasses import dataclass

from otelflask._internal.settings.setting import per_app, setting


@dataclass(frozen=True, kw_only=True)
class RequestSettings:
    """Requests."""

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
    websocket_spans: str = setting(
        "OTELFLASK_WEBSOCKET_SPANS",
        "events",
        "The spans within a WebSocket: one for each event of Flask-SocketIO, also one for each message of flask-sock, "
        "or none.",
        choices=("none", "events", "messages"),
    )
    excluded_commands: str = setting(
        "OTELFLASK_EXCLUDED_COMMANDS",
        "",
        "Comma-separated names of click commands that are not recorded, such as those that run for as long as the "
        "process.",
    )
    job_traces: str = setting(
        "OTELFLASK_JOB_TRACES",
        "parent",
        "The trace of a job's run: that of what asked for it (`parent`), or its own, with a link (`link`).",
        choices=("parent", "link"),
    )
    active_users: bool = setting(
        "OTELFLASK_ACTIVE_USERS",
        True,
        "Counts the users of the last 5 and 15 minutes, if otelflask knows them (Flask-Login, `set_user` or `user=`).",
    )
