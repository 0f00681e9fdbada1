"""Encoded spans and log records as rows for the store and the page.

They are masked and bounded already.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

from otelflask._internal import attribute_names, event_names
from otelflask._internal.export.otlp_values import attributes_of, plain
from otelflask._internal.guard import safe_text
from otelflask._internal.limits import cut
from otelflask._internal.live_page.collect.ring import SPAN
from otelflask._internal.sdk.flat_items import Flat

STATEMENT = "statement"
#: Attributes of spans that others make.
SUMMARY = "db.query.summary"
TEXT = "db.query.text"
#: The attribute that says what a log record is about, by its event.
_ABOUT = {event_names.JOB: attribute_names.JOB_NAME}
#: Colours of the lines of Flask's development server.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: The longest name in characters, and the largest integer of SQLite.
NAME_LENGTH = 256
#: The longest text of a log line, in characters.
TEXT_LENGTH = 8_192
LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One span or log record.

    Attributes:
        time: Epoch nanoseconds.
        duration: Nanoseconds.
        body: All of it as JSON.
    """

    kind: str
    trace_id: str
    time: int
    duration: int
    #: `STATEMENT` for a statement's span; the event name of a log record.
    subject: str
    #: What it is about: the hash of a statement's text, an error's group, a job's name, or another record's logger.
    about: str
    #: A number: rows of a statement, or occurrences of an error's group.
    amount: int
    severity: int
    body: str


@dataclass(frozen=True, slots=True)
class Request:
    """One row of the table of requests."""

    trace_id: str
    span_id: str
    time: int
    duration: int
    method: str
    route: str
    path: str
    status: int
    queries: int
    query_time: float
    error: str
    #: The message of the `AppError` that was the answer.
    message: str
    user: str


def row_of(item: Flat) -> tuple[Entry, Request | None]:
    """The row of an item of the `Ring`, and for a request's span the row of the request."""
    kind, scope, message, _ = item
    name = cut(scope[0], NAME_LENGTH)
    if kind == SPAN:
        # An encoded item is a field of these messages.
        return _of_span(ScopeSpans.FromString(message).spans[0], name)
    return _of_record(ScopeLogs.FromString(message).log_records[0], name), None


def _of_span(span: Span, scope: str) -> tuple[Entry, Request | None]:
    trace_id, span_id = span.trace_id.hex(), span.span_id.hex()
    attributes = attributes_of(span.attributes)
    failed = span.status.code == Status.STATUS_CODE_ERROR
    start, end = _whole(span.start_time_unix_nano), _whole(span.end_time_unix_nano)
    body = {
        "span_id": span_id,
        "parent_id": span.parent_span_id.hex() or None,
        "name": cut(span.name, NAME_LENGTH),
        "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        "start": start,
        "end": end,
        "error": span.status.message if failed else None,
        "failed": failed,
        "scope": scope,
        "attributes": attributes,
        "events": [
            {
                "name": cut(event.name, NAME_LENGTH),
                "time": _whole(event.time_unix_nano),
                "attributes": attributes_of(event.attributes),
            }
            for event in span.events
        ],
    }
    entry = Entry(
        "span",
        trace_id,
        start,
        end - start,
        STATEMENT if SUMMARY in attributes else "",
        _hash(str(attributes.get(TEXT, attributes[SUMMARY]))) if SUMMARY in attributes else "",
        _whole(attributes.get("db.response.returned_rows")),
        int(failed),
        _json(body),
    )
    if span.kind != Span.SPAN_KIND_SERVER or "http.request.method" not in attributes:
        return entry, None
    return entry, Request(
        trace_id,
        span_id,
        start,
        end - start,
        str(attributes["http.request.method"]),
        str(attributes.get("http.route", "")),
        str(attributes.get("url.path", "")),
        _whole(attributes.get("http.response.status_code")),
        _whole(attributes.get(attribute_names.QUERY_COUNT)),
        _whole(attributes.get(attribute_names.QUERY_DURATION, 0.0), 1e9) / 1e9,
        str(attributes.get("error.type", "")),
        str(attributes.get(attribute_names.ERROR_MESSAGE, "")),
        str(attributes.get("user.id", "")),
    )


def _of_record(record: LogRecord, logger: str) -> Entry:
    event = cut(record.event_name, NAME_LENGTH)
    time = _whole(record.time_unix_nano or record.observed_time_unix_nano)
    attributes = attributes_of(record.attributes)
    text = safe_text(plain(record.body)) if record.HasField("body") else ""
    body = {
        "span_id": record.span_id.hex() or None,
        "time": time,
        "level": cut(record.severity_text, NAME_LENGTH),
        "logger": logger,
        "text": cut(_COLOUR.sub("", text), TEXT_LENGTH),
        "event": event,
        "attributes": attributes,
    }
    return Entry(
        "log",
        record.trace_id.hex(),
        time,
        0,
        event,
        str(attributes.get(_ABOUT.get(event, attribute_names.ERROR_FINGERPRINT), logger)),
        _whole(attributes.get(attribute_names.ERROR_COUNT)),
        record.severity_number,
        _json(body),
    )


def _hash(text: str) -> str:
    """A short key of a text."""
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()


def _json(body: dict[str, Any]) -> str:
    """JSON without escapes, because it is searched as text."""
    return json.dumps(body, ensure_ascii=False, default=safe_text)


def _whole(value: object, factor: float = 1) -> int:
    """An integer within SQLite's range; 0 for anything else, because an app may set any value."""
    if not isinstance(value, (int, float)) or value != value:
        return 0
    return int(max(-LARGEST, min(LARGEST, value * factor)))
