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

[Configuration](configuration.md) has OpenTelemetry's variables for receiver, protocol and sampler, and says how to turn
each thing off. The `OTEL_*` variables in the table keep their meaning, but some have another default. All other
`OTEL_*` variables of the OpenTelemetry SDK and its OTLP exporters keep their meaning and their default.

## Terms

- A number in brackets after a setting, on all pages, is its default.
- *In development* means that Flask's debug mode is on, or that `environment` is `development`.
- If a token is set, it is required in development too.

"""


def page() -> str:
    """``docs/settings.md``."""
    return BEGINNING + tables()


if __name__ == "__main__":
    print(page(), end="")
