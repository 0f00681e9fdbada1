"""Spans and log records as rows that the store keeps and the page shows, without secrets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import SpanKind, StatusCode

from otelflask.pipeline.limits import Limits, clean_text
from otelflask.pipeline.redaction import Scrubber
from otelflask.pipeline.scrubbed import scrubbed_attributes

STATEMENT = "statement"
#: Names of attributes that other rooms give.
SUMMARY = "db.query.summary"
FINGERPRINT = "otelflask.error.fingerprint"
ERROR_COUNT = "otelflask.error.count"


@dataclass(frozen=True, slots=True)
class Entry:
    """One span or log record; `time` in epoch ns, `duration` in ns, `body` JSON of everything."""

    kind: str
    trace_id: str
    time: int
    duration: int
    name: str
    #: `STATEMENT` for that of a statement, a log record's event name.
    subject: str
    #: What the subject is about: a statement's summary, an error's group.
    about: str
    #: How many: rows that a statement returned, occurrences that a record of an error's group tells of.
    amount: int
    severity: int
    body: str


@dataclass(frozen=True, slots=True)
class Request:
    """What a row of the table of requests shows."""

    trace_id: str
    time: int
    duration: int
    method: str
    route: str
    path: str
    status: int
    queries: int
    query_time: float
    error: str
    user: str


class Rows:
    """Makes rows. In: what masks secrets, and limits."""

    def __init__(self, scrubber: Scrubber, limits: Limits) -> None:
        self._scrubber = scrubber
        self._limits = limits

    def of(self, item: Any) -> tuple[Entry, Request | None]:
        """The row of an item, and, where it is a request's span, that of the request."""
        return self._log(item) if hasattr(item, "log_record") else self._span(item)

    def _attributes(self, attributes: Any) -> dict[str, Any]:
        return scrubbed_attributes(attributes, self._scrubber, self._limits)

    def _text(self, value: object) -> str:
        return clean_text(self._scrubber.text(str(value)))

    def _span(self, span: Any) -> tuple[Entry, Request | None]:
        context = span.get_span_context()
        trace_id = f"{context.trace_id:032x}"
        attributes = self._attributes(span.attributes)
        failed = span.status.status_code is StatusCode.ERROR
        body = {
            "span_id": f"{context.span_id:016x}",
            "parent_id": f"{span.parent.span_id:016x}" if span.parent is not None else None,
            "name": clean_text(span.name),
            "kind": span.kind.name.lower(),
            "start": span.start_time,
            "end": span.end_time,
            "error": self._text(span.status.description or "") if failed else None,
            "failed": failed,
            "scope": span.instrumentation_scope.name if span.instrumentation_scope is not None else "",
            "attributes": attributes,
            "events": [
                {"name": event.name, "time": event.timestamp, "attributes": self._attributes(event.attributes)}
                for event in span.events
            ],
        }
        duration = span.end_time - span.start_time
        entry = Entry(
            "span",
            trace_id,
            span.start_time,
            duration,
            body["name"],
            STATEMENT if SUMMARY in attributes else "",
            str(attributes.get(SUMMARY, "")),
            int(attributes.get("db.response.returned_rows", 0)),
            int(failed),
            json.dumps(body),
        )
        if span.kind is not SpanKind.SERVER or "http.request.method" not in attributes:
            return entry, None
        return entry, Request(
            trace_id,
            span.start_time,
            duration,
            str(attributes["http.request.method"]),
            str(attributes.get("http.route", "")),
            str(attributes.get("url.path", "")),
            int(attributes.get("http.response.status_code", 0)),
            int(attributes.get("otelflask.db.query.count", 0)),
            float(attributes.get("otelflask.db.query.duration", 0.0)),
            str(attributes.get("error.type", "")),
            str(attributes.get("user.id", "")),
        )

    def _log(self, item: Any) -> tuple[Entry, None]:
        record = item.log_record
        trace_id = f"{record.trace_id:032x}" if record.trace_id else ""
        severity = record.severity_number.value if record.severity_number is not None else 0
        text = self._text(record.body if record.body is not None else "")
        scope = item.instrumentation_scope
        time = record.timestamp or record.observed_timestamp or 0
        attributes = self._attributes(record.attributes)
        body = {
            "span_id": f"{record.span_id:016x}" if record.span_id else None,
            "time": time,
            "level": record.severity_text or "",
            "logger": scope.name if scope is not None else "",
            "text": text,
            "event": record.event_name or "",
            "attributes": attributes,
        }
        entry = Entry(
            "log",
            trace_id,
            time,
            0,
            text[:500],
            record.event_name or "",
            str(attributes.get(FINGERPRINT) or attributes.get(SUMMARY, "")),
            int(attributes.get(ERROR_COUNT, 0)),
            severity,
            json.dumps(body),
        )
        return entry, None
