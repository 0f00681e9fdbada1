"""Error group: one bug, from its description down to its requests."""

from __future__ import annotations

from grafana.source import inbox
from grafana.source.colors import BAD, NEUTRAL, override, shades, thresholds
from grafana.source.dashboard import (
    DEPLOYMENTS,
    dashboard,
    environment_variable,
    route_variable,
    service_variable,
    text_variable,
)
from grafana.source.panels import logs, series, stat, table
from grafana.source.queries import LABELS_AS_COLUMNS, LOKI, TRACE_LINK, Json, explore, link, loki
from grafana.source.selectors import GROUPS, REPORTS

OF = f'{GROUPS} | otelflask_error_fingerprint="$group"'
OF_REPORTS = f'{REPORTS} | otelflask_error_fingerprint="$group"'
NAMED_RELEASE = 'label_format release=`{{ or .service_version "not set" }}`'

#: The parts of a report that are JSON (see docs/errors.md), formatted for reading.
CODE = """{{ range $frame := fromJson .otelflask_error_frames }}{{ $frame.file }}:{{ $frame.line }} in {{ $frame.function }}
{{ range $frame.before }}        {{ . }}
{{ end }}  ➤     {{ $frame.source }}
{{ range $frame.after }}        {{ . }}
{{ end }}{{ range $name, $value := $frame.variables }}            {{ $name }} = {{ $value }}
{{ end }}
{{ end }}"""
BEFORE = """{{ range $line := fromJson .otelflask_error_breadcrumbs }}{{ $line.timestamp }}  {{ $line.level }}  {{ $line.message }}
{{ end }}"""
REQUEST = """{{ .http_request_method }} {{ .url_path }} → {{ .http_response_status_code }}   (route {{ .http_route }})
client      {{ .client_address }}
user        {{ or .user_id "not named" }}
request id  {{ .http_request_id }}
trace       {{ .trace_id }}
release     {{ or .service_version "not set" }}
environment {{ or .deployment_environment_name "not set" }}
process     {{ .process_pid }} on {{ .host_name }}
handled     {{ .otelflask_error_handled }}
{{ range $name, $value := fromJson (or .otelflask_error_tags "{}") }}tag         {{ $name }} = {{ $value }}
{{ end }}{{ range $name, $value := fromJson (or .otelflask_error_extra "{}") }}extra       {{ $name }} = {{ $value }}
{{ end }}"""


def _by(name: str, label: str) -> Json:
    of = f"{OF} | {NAMED_RELEASE}"
    counts = inbox.occurrences(inbox.IN_TIME, by=label, of=of)
    stamp = "label_format ts=`{{ __timestamp__ | unixEpochMillis }}` | unwrap ts"
    return table(
        f"{name}s",
        f"Occurrences by {name.lower()}: count and first seen.",
        [
            loki(counts, instant=True),
            loki(f"min_over_time({of} | {stamp} [{inbox.EVER}]) by ({label})", instant=True),
            loki(f"max_over_time({of} | {stamp} [{inbox.EVER}]) by ({label})", instant=True),
        ],
        columns={label: name, "Value #A": "Count", "Value #B": "First seen", "Value #C": "Last seen"},
        sort="Last seen",
        overrides=[
            override(name, unit="string"),
            override("Count", unit="none", decimals=0, custom__width=80),
            override("First seen", unit="dateTimeFromNow", custom__width=140),
            override("Last seen", unit="dateTimeFromNow", custom__width=140),
        ],
    )


def _requests() -> Json:
    of_trace = '{service_name=~".+",report!="group"} | trace_id="${__value.raw}"'
    return table(
        "Reports",
        "The reports of this group, with their users. A click on a trace opens it, or the log lines of its request.",
        [loki(OF_REPORTS, lines=50)],
        columns={
            "Time": "Time",
            "Line": "What",
            "http_route": "Route",
            "user_id": "User",
            "service_version": "Release",
            "trace_id": "Trace ID",
        },
        sort="Time",
        transformations=[LABELS_AS_COLUMNS],
        overrides=[
            override("Time", custom__width=180),
            override("Route", custom__width=170),
            override("User", custom__width=90),
            override("Release", custom__width=80, unit="string"),
            override(
                "Trace ID",
                custom__width=280,
                links=[
                    TRACE_LINK,
                    link("Its log lines", explore(LOKI, {"expr": of_trace, "queryType": "range"})),
                ],
            ),
        ],
    )


def build() -> Json:
    """Build the dashboard."""
    return dashboard(
        "otelflask-error-group",
        "One bug: the error, the code, the affected users, the releases and the requests.",
        [
            (
                3,
                [
                    (
                        24,
                        stat(
                            "Group",
                            "The title of the group.",
                            loki(inbox.last_seen(by="service_name", of=OF)),
                            unit="string",
                            steps=thresholds((None, NEUTRAL)),
                            field="otelflask_error_group",
                        ),
                    )
                ],
            ),
            (
                4,
                [
                    (
                        6,
                        stat(
                            "Occurrences",
                            "Occurrences in this time range, including those without a report.",
                            loki(inbox.occurrences(inbox.IN_TIME, by="service_name", of=OF)),
                            unit="none",
                            decimals=0,
                        ),
                    ),
                    (
                        6,
                        stat(
                            "Users",
                            "Affected users, of those that the app names.",
                            loki(inbox.users(by="service_name", of=OF_REPORTS)),
                            unit="none",
                            decimals=0,
                        ),
                    ),
                    *(
                        (
                            6,
                            stat(
                                title,
                                question,
                                loki(query),
                                unit="dateTimeFromNow",
                                steps=thresholds((None, NEUTRAL)),
                            ),
                        )
                        for title, question, query in (
                            (
                                "First seen",
                                "When the group first occurred.",
                                inbox.first_seen(by="service_name", of=OF),
                            ),
                            (
                                "Last seen",
                                "Does the error still occur?",
                                f"max by (service_name) ({inbox.last_seen(by='service_name', of=OF)})",
                            ),
                        )
                    ),
                ],
            ),
            (
                7,
                [
                    (
                        24,
                        series(
                            "Occurrences by release",
                            "Occurrences over time, by release.",
                            [loki(inbox.over_time(by="release", of=f"{OF} | {NAMED_RELEASE}"), "{{release}}")],
                            unit="short",
                            bars=True,
                            stack=True,
                            overrides=[shades(".*", BAD)],
                        ),
                    )
                ],
            ),
            (
                16,
                [
                    (
                        12,
                        logs(
                            "In the app's own code",
                            "The code of the last report: source and local variables, innermost last. Secrets are masked.",
                            f"{OF_REPORTS} | otelflask_error_frames!=`` | line_format `{CODE}`",
                            lines=1,
                        ),
                    ),
                    (
                        12,
                        logs(
                            "Stack",
                            "The stack of the last report: all frames, and its causes.",
                            f"{OF_REPORTS} | exception_stacktrace!=`` | line_format `{{{{ .exception_stacktrace }}}}`",
                            lines=1,
                        ),
                    ),
                ],
            ),
            (
                7,
                [
                    (
                        12,
                        logs(
                            "Before the error",
                            "What the last report's request logged before the error.",
                            f"{OF_REPORTS} | otelflask_error_breadcrumbs!=`` | line_format `{BEFORE}`",
                            lines=1,
                        ),
                    ),
                    (
                        12,
                        logs(
                            "Request",
                            "The request of the last report.",
                            f"{OF_REPORTS} | http_route!=`` | line_format `{REQUEST}`",
                            lines=1,
                        ),
                    ),
                ],
            ),
            (8, [(24, _requests())]),
            (6, [(12, _by("Release", "release")), (12, _by("Route", "http_route"))]),
        ],
        variables=[
            service_variable(all_values=True),
            environment_variable(),
            route_variable(),
            text_variable("group", "Group", "", "`otelflask.error.fingerprint`, from the inbox or a mail."),
        ],
        annotations=[DEPLOYMENTS],
        time_from="now-24h",
    )
