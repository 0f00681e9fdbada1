"""Errors: responses, reports and mail."""

from __future__ import annotations

from dataclasses import dataclass

from otelflask._internal.settings.setting import per_app, setting


@dataclass(frozen=True, kw_only=True)
class ErrorSettings:
    """Errors."""

    error_answers: bool = per_app(
        "OTELFLASK_ERROR_ANSWERS",
        True,
        "Answers errors for which the app has no handler. Off with zero code.",
    )
    error_format: str = per_app(
        "OTELFLASK_ERROR_FORMAT",
        "problem",
        "The format of JSON responses to errors and successes: problem details (RFC 9457); an envelope of `success`, "
        "`message` and `data`, or `error`; or `msg`, `error_code` and `request`.",
        choices=("problem", "envelope", "msg"),
    )
    timestamp_format: str = per_app(
        "OTELFLASK_TIMESTAMP_FORMAT",
        "iso",
        "The format of `timestamp` in JSON responses of otelflask: ISO 8601 text, or whole epoch seconds.",
        choices=("iso", "epoch"),
    )
    json_paths: str = per_app(
        "OTELFLASK_JSON_PATHS",
        "/api/",
        "Comma-separated prefixes of paths with JSON error responses, whatever the client accepts.",
    )
    reports: bool = setting(
        "OTELFLASK_REPORTS",
        True,
        "Emits error reports, captured by sentry-sdk, as log records.",
    )
    sentry_dsn: str = setting(
        "SENTRY_DSN",
        "",
        "The DSN of a Sentry that gets the events too. Without it, sentry-sdk needs no server.",
        secret=True,
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
    mail_subject_prefix: str = setting(
        "OTELFLASK_MAIL_SUBJECT_PREFIX",
        "",
        "The beginning of each mail's subject. Empty: service and environment in brackets, as `[shop/production]`.",
    )
    mail_in_debug: bool = setting("OTELFLASK_MAIL_IN_DEBUG", False, "Sends mails in Flask's debug mode too.")
    mail_per_day: int = setting(
        "OTELFLASK_MAIL_PER_DAY", 50, "The maximum number of mails that a machine sends per day (UTC).", minimum=1
    )
    grafana_url: str = per_app(
        "OTELFLASK_GRAFANA_URL",
        "",
        "The address of the stack's Grafana, for links to it, such as `http://127.0.0.1:3000`.",
    )
