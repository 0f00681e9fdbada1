"""The page of settings, for the docs: ``make docs``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from otelflask._internal.settings import GROUPS


def tables() -> str:
    """The settings as Markdown tables, one a group."""
    return "\n".join(f"## {_title(group)}\n\n{_table(group)}" for group in GROUPS)


def _title(group: type) -> str:
    return str(group.__doc__).rstrip(".")


def _table(group: Any) -> str:
    rows = ["| setting | environment variable | default | scope | description |", "|---|---|---|---|---|"]
    for item in fields(group):
        default = item.default
        shown = str(default).lower() if isinstance(default, bool) else str(default) or "(empty)"
        help_text = item.metadata["help"]
        if item.metadata["unit"]:
            help_text += f" Unit: {item.metadata['unit']}."
        if item.metadata["choices"]:
            help_text += f" Allowed: {', '.join(f'`{choice}`' for choice in item.metadata['choices'])}."
        of = "app" if item.metadata["per_app"] else "process"
        rows.append(f"| `{item.name}` | `{item.metadata['env']}` | `{shown}` | {of} | {help_text} |")
    return "\n".join(rows) + "\n"


BEGINNING = """\
# Settings

Precedence: keyword argument of `init` > `app.config["OTELFLASK_<NAME>"]` > environment > default. `<NAME>` is the
setting's name in upper case, also if its variable has another name. An empty `OTELFLASK_*` variable means "none": no
path, no names, off. For a setting that cannot be "none", such as a number, an empty variable is an error. An empty
`OTEL_*` variable is unset.

Where none of these is given, the names of other packages in `app.config` count:

| name | setting |
|---|---|
| `MAIL_SERVER`, `MAIL_PORT` | `mail_server` |
| `MAIL_USE_TLS`, `MAIL_USE_SSL` | `mail_security`: `starttls`, `tls`, or `none` |
| `MAIL_USERNAME`, `MAIL_PASSWORD` | `mail_user`, `mail_password` |
| `MAIL_DEFAULT_SENDER`, else `MAIL_USERNAME`, else `no-reply@` and the server | `mail_from` |
| `MAIL_ADMINS`, else `ADMINS` | `mail_to`, if there is a `MAIL_SERVER` |
| `REDIS_URL`, also in the environment | `health_redis` |
| `SENTRY_DSN` | `sentry_dsn` |
| `PROFILING_ENABLED` | `profile_share` 1 and `profile_slow` 0: each request is profiled |

Like all settings, they are read by `init`: set them before. If `mail_server` is given, only the addresses of
`MAIL_ADMINS` or `ADMINS` count. With zero code (`opentelemetry-instrument`) there is no app yet, so only variables of
the environment count.

A value that is not allowed raises `otelflask.SettingError` at start. `init` has more options, which take functions and
objects: see the [API](api.md).

The column *scope* says whether each app has its own value, or the process has one. The process takes the value of its
first app, or of the first app that uses the feature. If a later app has another value, a log line says so.

The `OTEL_*` variables in the table keep their meaning, but some have another default. All other `OTEL_*` variables of
the OpenTelemetry SDK and its OTLP exporters keep their meaning and their default.

## Terms

- A number in brackets after a setting, on all pages, is its default.
- *In development* means that Flask's debug mode is on, or that `environment` is `development`.
- If a token is set, it is required in development too.

"""


ENDING = """\

## Variables of OpenTelemetry

The exporters and the SDK read these themselves. They are variables of the environment only, and count for `init` and
for zero code. [The list of all](https://opentelemetry.io/docs/languages/sdk-configuration/) is OpenTelemetry's.

| variable | example | meaning |
|---|---|---|
| `OTEL_EXPORTER_OTLP_ENDPOINT` | `http://collector:4318` | the receiver of all signals. Default: `http://localhost:4318` |
| `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `…_METRICS_…`, `…_LOGS_…` | `http://loki:3100/otlp/v1/logs` | the receiver of one signal: with HTTP the whole address, path included |
| `OTEL_EXPORTER_OTLP_PROTOCOL` | `grpc` | `http/protobuf` (default) or `grpc`, whose usual port is 4317 |
| `OTEL_EXPORTER_OTLP_HEADERS` | `authorization=Bearer%20TOKEN` | headers of each export, such as the key of a vendor |
| `OTEL_EXPORTER_OTLP_CERTIFICATE` | `/etc/ssl/ours.pem` | the authority of the receiver's certificate |
| `OTEL_EXPORTER_OTLP_COMPRESSION` | `none` | `gzip` (default) or `none` |
| `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER`, `OTEL_LOGS_EXPORTER` | `none` | `otlp` (default), `console`, `none`, or the name of an installed exporter; several with commas |
| `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | `traceidratio`, `0.1` | which traces are recorded. Default: all. Metrics, log lines and error reports are complete at any rate |
| `OTEL_RESOURCE_ATTRIBUTES` | `service.namespace=shop,team=lamps` | attributes of all that the process sends |

## Turn things off

| to turn off | write |
|---|---|
| everything | `OTEL_SDK_DISABLED=true`, or `init(app, disabled=True)` for one app |
| sending spans, metrics or log records | `OTEL_TRACES_EXPORTER=none`, `OTEL_METRICS_EXPORTER=none`, `OTEL_LOGS_EXPORTER=none` |
| telemetry of some URLs | `excluded_urls="healthz,static/.*"` |
| the log line of each request | `request_log=False` |
| log records of `logging` | `logs=False`, or `log_level="error"` for all below ERROR |
| error responses | `error_answers=False` |
| error reports; those of log lines alone | `reports=False`; `report_level="off"` |
| the headers `X-Request-ID` and `traceresponse` | `request_id_header=""`, `traceresponse=False` |
| the users' ids; the number of active users | `redact_names="user.id"` masks them; `active_users=False` |
| spans and metrics of SQLAlchemy | `database=False` |
| other libraries | `libraries="none"`, or a list of those that stay |
| metrics of processes and the machine | `runtime_metrics=False` |
| `/health`, `/monitoring`, `/profiles` | `health_path=""`, `monitor="off"`, `profile_path=""` |
"""


def page() -> str:
    """``docs/settings.md``."""
    return BEGINNING + tables() + ENDING


if __name__ == "__main__":
    print(page(), end="")
