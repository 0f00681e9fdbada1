"""Records of `logging` as log records of OpenTelemetry: with their trace, user, source location and extras."""

from __future__ import annotations

import logging
from datetime import date, time
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry.instrumentation.log_utils import std_to_otel

from otelflask._internal import clock, event_names, guard
from otelflask._internal.attribute_layers import Interned, Layer, Layers, merged
from otelflask._internal.compat.otel_api import SPAN_KEY, SeverityNumber, current_context, ids_of
from otelflask._internal.current_request import current_user_id
from otelflask._internal.exceptions.attributes import attributes_of
from otelflask._internal.limits import MAX_ITEMS, Limits, cut_stacktrace
from otelflask._internal.logging_records import FIELDS, Raised, fields_of, message_of
from otelflask._internal.sdk.flat_items import Flat, LayerBytes, flat_layers, flat_value
from otelflask._internal.sdk.log_records import Record

_SEVERITY_TEXT = {"WARNING": "WARN", "CRITICAL": "FATAL"}
#: Arguments and results of jobs, which may be secrets: extras of lines of Celery and RQ, by logger.
_OF_JOBS = {
    "celery.app.trace": frozenset({"data"}),
    "celery.worker.strategy": frozenset({"data"}),
    "rq.worker": frozenset({"arguments", "kwargs"}),
}
#: How deep containers in ``extra=`` are followed.
_MAX_DEPTH = 4


def _code_layer(path: str, function: str, line: int) -> Layer:
    return Layer({"code.file.path": path, "code.function.name": function, "code.line.number": line})


_code_layers: Interned[Layer] = Interned(_code_layer)


def _severity(level: int) -> SeverityNumber:
    found = std_to_otel(level)
    return found if found is not SeverityNumber.UNSPECIFIED else SeverityNumber.TRACE


_severities: Interned[SeverityNumber] = Interned(_severity)


def record_of(record: logging.LogRecord, limits: Limits, raised: Raised) -> Record:
    """Convert a record of `logging`.

    Args:
        record: The record.
        limits: The limits of its attributes.
        raised: Its exception, read on first use; empty if there is none.
    """
    layers, event_name, dropped = _read(record, limits, raised)
    context = current_context()
    span = context.get(SPAN_KEY)
    made = Record(
        int(record.created * 1e9),
        _severities(record.levelno),
        _SEVERITY_TEXT.get(record.levelname, record.levelname),
        message_of(record),
        layers,
        span.get_span_context() if isinstance(span, trace_api.Span) else None,
        context,
        event_name,
    )
    made.dropped = dropped
    return made


def flat_line(
    record: logging.LogRecord, limits: Limits, raised: Raised, most: int | None, layer_bytes: LayerBytes
) -> Flat:
    """Convert a record of `logging` as `flat_items.flat_record` would convert that of `record_of`.

    Args:
        record: The record.
        limits: The limits of its attributes.
        raised: Its exception, read on first use; empty if there is none.
        most: The most attributes; None for no limit.
        layer_bytes: Encodes a `Layer`.

    Returns:
        The flat record; empty where it has more than `most` attributes.
    """
    layers, event_name, dropped = _read(record, limits, raised)
    if most is not None and sum(map(len, layers)) > most:
        return ()
    span = current_context().get(SPAN_KEY)
    around = span.get_span_context() if isinstance(span, trace_api.Span) else None
    trace_id, span_id, flags = ids_of(around) if around is not None else (0, 0, 0)
    return (
        int(record.created * 1e9),
        clock.time_ns(),
        _severities(record.levelno).value,
        _SEVERITY_TEXT.get(record.levelname, record.levelname) or "",
        flat_value(message_of(record)),
        flat_layers(layers, layer_bytes),
        dropped,
        int(flags),
        trace_id,
        span_id,
        event_name or "",
    )


def _read(record: logging.LogRecord, limits: Limits, raised: Raised) -> tuple[Layers, str | None, int]:
    """The attributes of a record, the name of its event, and the number of dropped attributes."""
    is_plain = type(record.msg) is str
    walked = raised.walk if record.exc_info or not is_plain else None
    code = _code_layers(record.pathname, record.funcName or "", record.lineno)
    layers: Layers = (code,) if walked is None else (code, attributes_of(walked))
    user_id = current_user_id()
    if user_id is not None:
        layers = (*layers, {"user.id": user_id})
    if is_plain and len(record.__dict__) <= len(FIELDS) and not record.stack_info:
        return layers, None, 0
    attributes, event_name, dropped = _extras(record, limits)
    if any(name in part for name in attributes for part in layers):
        # Keys must be unique, and the app's value wins.
        return (merged((*layers, attributes)),), event_name, dropped
    return (*layers, attributes) if attributes else layers, event_name, dropped


def _extras(record: logging.LogRecord, limits: Limits) -> tuple[dict[str, Any], str | None, int]:
    attributes: dict[str, Any] = {}
    event_name = None
    dropped = 0
    of_jobs = _OF_JOBS.get(record.name, ())
    for name, value in fields_of(record):
        if name in of_jobs:
            continue
        if name == "otel.event.name" or name == "event.name":
            event_name = guard.safe_text(value)
            if event_names.is_reserved(event_name):
                # It would look like one of ours. The line keeps the name as an attribute.
                guard.log(f"event:{event_name}", event_names.NOT_ALLOWED, event_name)
                attributes["event.name"], event_name = event_name, None
        elif len(attributes) < limits.attribute_count:
            attributes[name] = attribute_value(value, limits)
        else:
            dropped += 1
    if record.stack_info:
        attributes["code.stacktrace"] = cut_stacktrace(record.stack_info)
    return attributes, event_name, dropped


def attribute_value(value: Any, limits: Limits, depth: int = 0) -> Any:
    """Convert a value for OTLP: types that OTLP supports stay, others become text."""
    kind = type(value)
    if kind in (str, int, bool, float, bytes) or value is None:
        return value
    return guard.attempt(_converted, value, limits, depth, on_error=lambda error: guard.safe_text(value))


def _converted(value: Any, limits: Limits, depth: int) -> Any:
    if depth < _MAX_DEPTH:
        if isinstance(value, dict):
            items = list(value.items())[:MAX_ITEMS]
            return {guard.safe_text(key): attribute_value(item, limits, depth + 1) for key, item in items}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [attribute_value(item, limits, depth + 1) for item in list(value)[:MAX_ITEMS]]
    if isinstance(value, (str, int, float)):
        # Subclasses (enums, numpy numbers) become plain values.
        return str.__str__(value) if isinstance(value, str) else value.real
    if isinstance(value, (date, time)):
        return value.isoformat()
    return limits.text(guard.safe_text(value))
