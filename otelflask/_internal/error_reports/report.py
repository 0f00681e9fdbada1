"""Error reports, and the counts of their groups, as log records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from otelflask._internal import attribute_names, event_names
from otelflask._internal.compat.otel_api import SeverityNumber
from otelflask._internal.error_reports.fingerprint import Group
from otelflask._internal.sdk.log_records import Record, emit

_SEVERITIES = {
    "fatal": (SeverityNumber.FATAL, "FATAL"),
    "error": (SeverityNumber.ERROR, "ERROR"),
    "warning": (SeverityNumber.WARN, "WARN"),
    "info": (SeverityNumber.INFO, "INFO"),
    "debug": (SeverityNumber.DEBUG, "DEBUG"),
}
#: The largest report in bytes, without what every record has (resource, ids, times).
MAX_BYTES = 30_000
#: The beginnings of the attributes that are dropped, in this order.
_LEFT_OUT_FIRST = (
    attribute_names.ERROR_EXTRA,
    attribute_names.ERROR_TAGS,
    attribute_names.ERROR_BREADCRUMBS,
    attribute_names.ERROR_FRAMES,
    attribute_names.TAG_PREFIX,
    "url.query",
)
_CUT = "…\n"
#: The attributes of a group's count records: they are nearly the same for all its reports.
_OF_GROUP = ("exception.type", "http.route", attribute_names.ERROR_HANDLED)


@dataclass(frozen=True, slots=True)
class Report:
    """One report.

    Attributes:
        group: Its group.
        level: Its level, in sentry-sdk's words.
        body: Its text.
        attributes: Its attributes.
        at: When it happened, in epoch nanoseconds.
        span, context: Where it happened.
    """

    group: Group
    level: str
    body: str
    attributes: dict[str, Any]
    at: int
    span: SpanContext | None = None
    context: Context | None = None


def bounded(attributes: dict[str, Any], body: str) -> dict[str, Any]:
    """Reduce a report's attributes until it fits into `MAX_BYTES` with its body."""
    size = _size(attributes, body)
    for left_out in _LEFT_OUT_FIRST:
        if size <= MAX_BYTES:
            return attributes
        for name in [name for name in attributes if name.startswith(left_out)]:
            del attributes[name]
        size = _size(attributes, body)
    stack = attributes.get("exception.stacktrace")
    if size > MAX_BYTES and isinstance(stack, str):
        # Keep the end, which has the innermost frames and the message.
        kept = stack.encode("utf-8", "replace")[size - MAX_BYTES + len(_CUT) * 3 :]
        attributes["exception.stacktrace"] = _CUT + kept.decode("utf-8", "ignore")
    return attributes


def _size(attributes: dict[str, Any], body: str) -> int:
    texts = [text for name, value in attributes.items() for text in (name, str(value))]
    characters = sum(map(len, texts)) + len(body)
    if characters * 4 <= MAX_BYTES:
        return characters * 4
    return sum(len(text.encode("utf-8", "replace")) for text in (*texts, body))


def emit_report(logger: Any, report: Report) -> None:
    """Emit a report as a log record."""
    severity, text = _SEVERITIES.get(report.level, _SEVERITIES["error"])
    name = event_names.EXCEPTION if "exception.type" in report.attributes else event_names.MESSAGE
    of_group = {
        attribute_names.ERROR_FINGERPRINT: report.group.fingerprint,
        attribute_names.ERROR_GROUP: report.group.title,
    }
    # The group comes first, because a limit drops attributes from the end.
    layers = (of_group, report.attributes)
    emit(logger, Record(report.at, severity, text, report.body, layers, report.span, report.context, name))


def emit_count(logger: Any, last: Report, count: int, at: int) -> None:
    """Emit how often a group has occurred since the last count.

    These records are small and count all occurrences, also those without a report. An inbox is made
    from them.

    Args:
        logger: Where to emit.
        last: The group's last report.
        count: The number of occurrences.
        at: The time of the last of them, in epoch nanoseconds.
    """
    # First, because a limit drops attributes from the end.
    attributes: dict[str, Any] = {
        attribute_names.ERROR_FINGERPRINT: last.group.fingerprint,
        attribute_names.ERROR_COUNT: count,
        attribute_names.ERROR_GROUP: last.group.title,
    }
    attributes |= {name: last.attributes[name] for name in _OF_GROUP if name in last.attributes}
    emit(
        logger,
        Record(
            at, SeverityNumber.INFO, "INFO", last.group.title, (attributes,), last.span, None, event_names.ERROR_GROUP
        ),
    )
