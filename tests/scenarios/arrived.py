"""What arrived at the collector, as plain values, in the order of arrival."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from otelflask._internal.testing.collector import attributes_of, plain
from tests.scenarios.normalised import Labels

Item = dict[str, Any]
Requests = list[tuple[str, dict[str, str], Any]]


class Processes:
    """Names of the processes that send: ``main``, and others by first appearance."""

    def __init__(self) -> None:
        self._names: dict[tuple[Any, Any], str] = {}

    def name(self, resource: dict[str, Any]) -> str:
        """The name of the process with these resource attributes. Processes differ in pid and in instance id."""
        key = (resource.get("process.pid"), resource.get("service.instance.id"))
        if not self._names:
            return self._names.setdefault(key, "main")
        return self._names.setdefault(key, f"process-{len(self._names) + 1}")


def items(requests: Requests, signal: str) -> Iterator[tuple[Any, dict[str, Any], Any]]:
    """Each span, log record or metric, with its resource's attributes and its scope."""
    groups, scopes, names = {
        "traces": ("resource_spans", "scope_spans", "spans"),
        "logs": ("resource_logs", "scope_logs", "log_records"),
        "metrics": ("resource_metrics", "scope_metrics", "metrics"),
    }[signal]
    for kind, _, message in requests:
        if kind == signal:
            for group in getattr(message, groups):
                resource = attributes_of(group.resource.attributes)
                for scope in getattr(group, scopes):
                    for item in getattr(scope, names):
                        yield item, resource, scope


def _without_nothing(item: Item) -> Item:
    return {name: value for name, value in item.items() if value not in ("", None, 0, [], {})}


def spans(requests: Requests, labels: Labels, processes: Processes, is_ordered: bool) -> list[Item]:
    """Spans."""
    found = list(items(requests, "traces"))
    if not is_ordered:
        found.sort(key=lambda each: (processes.name(each[1]), each[0].name, each[0].start_time_unix_nano))
    for item, _, _ in found:
        labels.trace(item.trace_id.hex())
        labels.span(item.span_id.hex())
        labels.request(str(attributes_of(item.attributes).get("http.request.id", "")))
    return [_span(item, processes.name(resource), scope.scope.name, labels) for item, resource, scope in found]


def _span(item: Any, process: str, scope: str, labels: Labels) -> Item:
    return _without_nothing(
        {
            "name": labels.text(item.name),
            "kind": Span.SpanKind.Name(item.kind).removeprefix("SPAN_KIND_"),
            "scope": scope,
            "process": process if process != "main" else "",
            "trace": labels.trace(item.trace_id.hex()),
            "span": labels.span(item.span_id.hex()),
            "parent": labels.span(item.parent_span_id.hex()),
            "state": item.trace_state,
            "status": Status.StatusCode.Name(item.status.code).removeprefix("STATUS_CODE_"),
            "status text": labels.value(item.status.message),
            "flags": item.flags,
            "attributes": labels.value(attributes_of(item.attributes)),
            "events": [
                _without_nothing(
                    {
                        "name": event.name,
                        "attributes": labels.value(attributes_of(event.attributes)),
                        "dropped attributes": event.dropped_attributes_count,
                    }
                )
                for event in item.events
            ],
            "links": [
                _without_nothing(
                    {
                        "trace": labels.trace(link.trace_id.hex()),
                        "span": labels.span(link.span_id.hex()),
                        "attributes": labels.value(attributes_of(link.attributes)),
                    }
                )
                for link in item.links
            ],
            "dropped attributes": item.dropped_attributes_count,
            "dropped events": item.dropped_events_count,
            "dropped links": item.dropped_links_count,
        }
    )


def logs(requests: Requests, labels: Labels, processes: Processes, is_ordered: bool) -> list[Item]:
    """Log records."""
    found = list(items(requests, "logs"))
    if not is_ordered:
        found.sort(key=lambda each: (processes.name(each[1]), each[0].time_unix_nano))
    for item, _, _ in found:
        labels.trace(item.trace_id.hex())
        labels.span(item.span_id.hex())
        labels.request(str(attributes_of(item.attributes).get("http.request.id", "")))
    return [
        _without_nothing(
            {
                "event": item.event_name,
                "severity": item.severity_number and SeverityNumber.Name(item.severity_number),
                "severity text": item.severity_text,
                "body": labels.value(plain(item.body)),
                "scope": scope.scope.name,
                "process": processes.name(resource).removesuffix("main"),
                "trace": labels.trace(item.trace_id.hex()),
                "span": labels.span(item.span_id.hex()),
                "flags": item.flags,
                "has time": bool(item.time_unix_nano),
                "attributes": labels.value(attributes_of(item.attributes)),
                "dropped attributes": item.dropped_attributes_count,
            }
        )
        for item, resource, scope in found
    ]


def resources(requests: Requests, labels: Labels) -> Item:
    """The last resource of each signal that the first process sent with."""
    found: Item = {}
    for signal in ("traces", "logs", "metrics"):
        for _, resource, _ in items(requests, signal):
            found[signal] = _resource(resource, labels)
            break
    return found


_OF_THE_MACHINE = ("host.", "os.", "process.")


def _resource(attributes: dict[str, Any], labels: Labels) -> Item:
    return {
        name: "<of the machine>" if name.startswith(_OF_THE_MACHINE) else labels.value(value, name)
        for name, value in attributes.items()
    }


def scopes(requests: Requests) -> list[list[str]]:
    """Signal, name, schema and whether there is a version, of each scope."""
    found = {
        (signal, scope.scope.name, scope.schema_url, "with version" if scope.scope.version else "")
        for signal in ("traces", "logs", "metrics")
        for _, _, scope in items(requests, signal)
    }
    return [list(each) for each in sorted(found)]


def canonical(value: Any) -> str:
    """A text that is the same for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
