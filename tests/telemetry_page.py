"""The page of names that otelflask sends, for the docs: ``make docs``.

Metrics come from the instruments that a process makes, attributes from the modules of names, and the
places of both from the recorded scenarios.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from opentelemetry.exporter.prometheus._mapping import map_unit, sanitize_attribute, sanitize_full_name

from otelflask._internal import attribute_names, event_names

ROOT = Path(__file__).parents[1]
_RECORDED = ROOT / "tests" / "scenarios" / "recorded"
_SERIES = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ", re.M)
_LABEL = re.compile(r'(\w+)="')
_KINDS = {"counter": "counter", "histogram": "histogram", "gauge": "gauge", "up_down_counter": "gauge"}

BEGINNING = """\
# Names of what is sent

For queries, alerts and dashboards of your own. The tables are made from the code. [Compatibility](compatibility.md)
says in which version a name may change.

"""
_METRICS = """\
## Metrics

A metric has the same name in Prometheus through the collector and on the [metrics page](metrics.md). Through the
collector, each has the labels `service_name`, `service_instance_id` (the process) and `deployment_environment_name`
too. A histogram `NAME` is the three series `NAME_bucket`, `NAME_sum` and `NAME_count`.
`http.client.request.duration` needs an [extra](libraries.md). `process.*`, `cpython.*` and `system.*` need
`runtime_metrics`, which is on.

| metric | in Prometheus | labels | content |
|---|---|---|---|
"""
_EVENTS = """\
## Log records

A line of `logging` is a log record without an event name. Its attributes are `code.file.path`, `code.function.name`
and `code.line.number`, the values of `extra=`, `user.id` where the user is known, and for an exception
`exception.type`, `exception.message` and `exception.stacktrace`. These records are otelflask's own:

| event name | content | attributes |
|---|---|---|
"""
_OWN = """\
## Attributes of otelflask

OpenTelemetry has no names for these.

| attribute | content | on |
|---|---|---|
"""
_OTHERS = """\
## Attributes by OpenTelemetry's conventions

| attribute | on |
|---|---|
"""
_LOKI = """\
## In Loki

Loki writes `_` for each dot. `service_name`, `deployment_environment_name` and `report` (`whole` for an error report,
`group` for counts of groups) are labels of streams, and stand in the braces. All others are structured metadata, and
follow a `|`. No parser such as `| json` is needed:

```
{service_name="shop"} | event_name="http.server.request" | http_route="/api/orders" | http_server_request_duration > 0.5
```

Besides the attributes above, each line has `severity_text`, `severity_number`, `scope_name` (the logger), within a
request `trace_id` and `span_id`, `event_name` if it is no line of `logging`, and the resource:

"""
#: Attributes that no scenario has.
_NOT_RECORDED = {
    attribute_names.QUERY_PLAN: ("`otelflask.slow_query`",),
    attribute_names.QUERY_PLAN_MISSING: ("`otelflask.slow_query`",),
    attribute_names.RELATIONSHIP: ("`otelflask.repeated_query`",),
    attribute_names.JOB_RETRIES: ("`otelflask.job`", "span of a job or command"),
    attribute_names.PROFILE_ID: ("`http.server.request`", "span of a request"),
}
#: The spans of otelflask's own scopes, by scope and kind.
_PLACES = {
    ("otelflask.http", "SERVER"): "span of a request",
    ("otelflask.database", "CLIENT"): "span of a statement",
    ("otelflask.jobs", "INTERNAL"): "span of a job or command",
    ("otelflask.websockets", "CONSUMER"): "span of an event of Socket.IO",
}
#: Other attributes in the scenarios are the app's.
_CONVENTIONS = (
    "client.",
    "code.",
    "db.",
    "error.",
    "exception.",
    "http.",
    "network.",
    "process.exit.",
    "server.",
    "url.",
    "user",
)


def page() -> str:
    """``docs/telemetry.md``."""
    made = json.loads(
        subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.instruments"],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST"))},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
    )
    places, of_events, of_metrics = _recorded()
    labels = _labels(made["instruments"], made["page"], of_metrics)
    return "".join(
        (
            BEGINNING,
            _METRICS,
            *_metric_rows(made["instruments"], labels),
            "\n",
            _EVENTS,
            *_event_rows(of_events),
            "\n",
            _OWN,
            *_own_rows(places, labels),
            "\n",
            _OTHERS,
            *_other_rows(places),
            "\n",
            _LOKI,
            ", ".join(f"`{sanitize_attribute(name)}`" for name in made["resource"]),
            ".\n",
        )
    )


def described(module: Any) -> dict[str, str]:
    """The names of a module of names, each with the comment above it."""
    source = Path(module.__file__).read_text()
    lines = source.splitlines()
    found = {}
    for node in ast.parse(source).body:
        is_name = isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        if is_name and "%" not in node.value.value and lines[node.lineno - 2].startswith("#:"):
            first = node.lineno - 2
            while lines[first - 1].startswith("#:"):
                first -= 1
            comment = " ".join(line.removeprefix("#:").strip() for line in lines[first : node.lineno - 1])
            found[str(node.value.value)] = comment
    return found


def _recorded() -> tuple[dict[str, set[str]], dict[str, set[str]], dict[str, set[str]]]:
    """What the scenarios have shown: attribute → places, event → attributes, metric → attributes."""
    places: dict[str, set[str]] = defaultdict(set)
    of_events: dict[str, set[str]] = defaultdict(set)
    of_metrics: dict[str, set[str]] = defaultdict(set)
    for file in _RECORDED.rglob("*.json"):
        item = json.loads(file.read_text())
        for span in item.get("spans", []):
            place = _PLACES.get((span["scope"], span.get("kind", "")))
            if place:
                for name in span["attributes"]:
                    places[_general(name)].add(place)
        for log in item.get("logs", []):
            event = log.get("event", "")
            for name in log.get("attributes", {}):
                of_events[event].add(_general(name))
        for metric in item.get("metrics", []):
            of_metrics[metric["name"]] |= set(metric.get("attributes", {}))
    for event in described(event_names):
        for name in of_events[event]:
            places[name].add(f"`{event}`")
    return places, of_events, of_metrics


def _general(name: str) -> str:
    """A name without what belongs to one app."""
    for prefix in ("http.request.header.", "http.response.header.", attribute_names.TAG_PREFIX):
        if name.startswith(prefix):
            return f"{prefix}*"
    return name


def in_prometheus(name: str, unit: str, kind: str) -> str:
    """A metric's name. Source: OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility"."""
    suffix = "ratio" if unit == "1" and kind == "gauge" else map_unit(unit)
    shown = sanitize_full_name(name)
    if suffix and not shown.endswith(f"_{suffix}"):
        shown += f"_{suffix}"
    return f"{shown}_total" if kind == "counter" else shown


def _labels(instruments: dict[str, dict[str, str]], text: str, of_metrics: dict[str, set[str]]) -> dict[str, set[str]]:
    """Each metric's labels: on the metrics page, and in the scenarios."""
    on_page: dict[str, set[str]] = defaultdict(set)
    for name, given in _SERIES.findall(text):
        for metric in (name, re.sub(r"_(bucket|sum|count)$", "", name)):
            on_page[metric] |= set(_LABEL.findall(given)) - {"le"}
    return {
        name: on_page[in_prometheus(name, made["unit"], made["kind"])] | set(map(sanitize_attribute, of_metrics[name]))
        for name, made in instruments.items()
    }


def _metric_rows(instruments: dict[str, dict[str, str]], labels: dict[str, set[str]]) -> list[str]:
    rows = []
    for name, made in sorted(instruments.items()):
        shown, kind = in_prometheus(name, made["unit"], made["kind"]), _KINDS[made["kind"]]
        content = made["description"].rstrip(".")
        rows.append(f"| `{name}` | `{shown}` ({kind}) | {_names(labels[name])} | {content}. |\n")
    return rows


def _event_rows(of_events: dict[str, set[str]]) -> list[str]:
    own = [f"| `{name}` | {text} | {_names(of_events[name])} |\n" for name, text in described(event_names).items()]
    return [*own, "| the app's | A business event (`otelflask.event`). | the event's values, `user.id` |\n"]


def _own_rows(places: dict[str, set[str]], labels: dict[str, set[str]]) -> list[str]:
    rows = []
    for name, content in described(attribute_names).items():
        shown = _general(name)
        on = [f"`{metric}`" for metric, of_it in labels.items() if sanitize_attribute(name) in of_it]
        on = sorted({*on, *places[shown], *_NOT_RECORDED.get(name, ())})
        assert on, f"{name} is nowhere"
        rows.append(f"| `{shown}` | {content} | {', '.join(on)} |\n")
    return rows


def _other_rows(places: dict[str, set[str]]) -> list[str]:
    own = {_general(name) for name in described(attribute_names)}
    others = sorted(name for name in places if name not in own and name.startswith(_CONVENTIONS))
    return [f"| `{name}` | {', '.join(sorted(places[name]))} |\n" for name in others]


def _names(names: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


if __name__ == "__main__":
    print(page(), end="")
