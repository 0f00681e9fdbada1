"""Spans and log records as rows for the store and the page: without secrets, and bounded."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import SpanKind, StatusCode

from otelflask._internal import attribute_names
from otelflask._internal.guard import safe_text
from otelflask._internal.limits import Limits, clean_text, cut
from otelflask._internal.redaction import Scrubber, scrubbed_attributes

STATEMENT = "statement"
#: Attributes of spans that others make.
SUMMARY = "db.query.summary"
TEXT = "db.query.text"
#: Colours of the lines of Flask's development server.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: The longest name in characters, and the largest integer of SQLite.
NAME_LENGTH = 256
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
    #: What it is about: the hash of a statement's text, an error's group, or the logger of another log record.
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


class Rows:
    """Makes rows.

    Args:
        scrubber: Masks secrets.
        span_limits: What a span may carry.
        log_limits: What a log record may carry.
    """

    def __init__(self, scrubber: Scrubber, span_limits: Limits, log_limits: Limits) -> None:
        self._scrubber = scrubber
        self._span_limits = span_limits
        self._log_limits = log_limits

    def of(self, item: Any) -> tuple[Entry, Request | None]:
        """The row of an item, and for a request's span the row of the request."""
        return self._log(item) if hasattr(item, "log_record") else self._span(item)

    def _attributes(self, attributes: Any, limits: Limits) -> dict[str, Any]:
        return scrubbed_attributes(attributes, self._scrubber, limits)

    def _text(self, value: object, length: int) -> str:
        # Masked before the cut, after which half a secret would not be recognised.
        return clean_text(cut(self._scrubber.text(_COLOUR.sub("", safe_text(value))), length))

    def _span(self, span: Any) -> tuple[Entry, Request | None]:
        context = span.get_span_context()
        trace_id, span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        attributes = self._attributes(span.attributes, self._span_limits)
        failed = span.status.status_code is StatusCode.ERROR
        start, end = _whole(span.start_time), _whole(span.end_time)
        body = {
            "span_id": span_id,
            "parent_id": f"{span.parent.span_id:016x}" if span.parent is not None else None,
            "name": self._text(span.name, NAME_LENGTH),
            "kind": span.kind.name.lower(),
            "start": start,
            "end": end,
            "error": self._text(span.status.description or "", self._span_limits.value_length) if failed else None,
            "failed": failed,
            "scope": self._scope(span),
            "attributes": attributes,
            "events": [
                {
                    "name": self._text(event.name, NAME_LENGTH),
                    "time": _whole(event.timestamp),
                    "attributes": self._attributes(event.attributes, self._span_limits),
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
        if span.kind is not SpanKind.SERVER or "http.request.method" not in attributes:
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

    def _log(self, item: Any) -> tuple[Entry, None]:
        record = item.log_record
        trace_id = f"{record.trace_id:032x}" if record.trace_id else ""
        event = self._text(record.event_name or "", NAME_LENGTH)
        time = _whole(record.timestamp or record.observed_timestamp)
        attributes = self._attributes(record.attributes, self._log_limits)
        logger = self._scope(item)
        body = {
            "span_id": f"{record.span_id:016x}" if record.span_id else None,
            "time": time,
            "level": self._text(record.severity_text or "", NAME_LENGTH),
            "logger": logger,
            "text": self._text(record.body if record.body is not None else "", self._log_limits.value_length),
            "event": event,
            "attributes": attributes,
        }
        entry = Entry(
            "log",
            trace_id,
            time,
            0,
            event,
            str(attributes.get(attribute_names.ERROR_FINGERPRINT, logger)),
            _whole(attributes.get(attribute_names.ERROR_COUNT)),
            record.severity_number.value if record.severity_number is not None else 0,
            _json(body),
        )
        return entry, None

    def _scope(self, item: Any) -> str:
        scope = item.instrumentation_scope
        return self._text(scope.name, NAME_LENGTH) if scope is not None else ""


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
