"""The settings as they are declared, for the docs: ``make docs``."""

from __future__ import annotations

from dataclasses import fields

from otelflask._internal.settings import Settings


def table() -> str:
    """The settings as a Markdown table, for the docs."""
    rows = ["| setting | environment variable | default | of | what it does |", "|---|---|---|---|---|"]
    for item in fields(Settings):
        default = item.default
        shown = str(default).lower() if isinstance(default, bool) else str(default) or "(empty)"
        help_text = item.metadata["help"]
        if item.metadata["unit"]:
            help_text += f" In {item.metadata['unit']}."
        if item.metadata["choices"]:
            help_text += f" One of {', '.join(f'`{choice}`' for choice in item.metadata['choices'])}."
        of = "app" if item.metadata["per_app"] else "process"
        rows.append(f"| `{item.name}` | `{item.metadata['env']}` | `{shown}` | {of} | {help_text} |")
    return "\n".join(rows) + "\n"


def page() -> str:
    """``docs/settings.md``."""
    return (
        "# Settings\n\n"
        'Precedence: keyword argument of `init` > `app.config["OTELFLASK_<NAME>"]` > environment > default.\n'
        'An empty `OTELFLASK_*` variable is the value "none": nowhere, off, no names; where there is none, as for a '
        "number, it is an error. An empty `OTEL_*` variable is unset.\n"
        "A value that is not allowed raises `otelflask.SettingError` at start.\n"
        "Settings *of* a process are those of its first app, or of the first that wants what is made by them; a later "
        "app that sets one otherwise is told so.\n"
        "All other `OTEL_*` variables of the OpenTelemetry SDK and its OTLP exporters keep their meaning.\n\n"
        f"{table()}"
    )


if __name__ == "__main__":
    print(page(), end="")
