"""Limits of what one span, record or metric may carry.

The SDK limits the number of attributes, but by default not their length, and in 1.45 not the
number of attribute sets of a metric. Sources: OpenTelemetry specification, "Common: attribute
limits" and "Metrics SDK: cardinality limits".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

#: The longest body and stack trace, in characters. No variable of OpenTelemetry sets them.
BODY_LENGTH = 32_768
STACKTRACE_LENGTH = 16_384
#: How many characters beyond the limit are masked with a text.
MARGIN = 1_024
#: The most items of a container, and the depth to which containers are followed.
MAX_ITEMS = 256
MAX_DEPTH = 8
#: The attribute of the set into which a metric's overflow goes (Metrics SDK specification).
OVERFLOW_ATTRIBUTES = {"otel.metric.overflow": True}


@dataclass(frozen=True, slots=True)
class Limits:
    """What an item of one signal may carry.

    Attributes:
        value_length: The longest value, in characters (text) or bytes (bytes).
        attribute_count: The most attributes of one span, event, link or log record.
    """

    value_length: int = 8_192
    attribute_count: int = 128

    def text(self, text: str, limit: int | None = None) -> str:
        """Cut a text to `limit` characters (default: `value_length`)."""
        limit = self.value_length if limit is None else limit
        return text if len(text) <= limit else cut(text, limit)


def cut(text: str, length: int) -> str:
    """Cut a text to `length` characters, with a mark where something is missing."""
    if len(text) <= length:
        return text
    return text[: length - 1] + "…" if length > 0 else ""


def cut_stacktrace(text: str) -> str:
    """Cut a stack trace in its middle, so that the entry point and the failing line both stay."""
    if len(text) <= STACKTRACE_LENGTH:
        return text
    head = STACKTRACE_LENGTH // 4
    tail = STACKTRACE_LENGTH - head
    return f"{text[:head]}\n  … {len(text) - STACKTRACE_LENGTH} characters left out …\n{text[-tail:]}"


def bounded(value: Any, length: int, items: int = MAX_ITEMS, depth: int = 0) -> Any:
    """Cut a value before it is masked, so that masking costs no more than what may be kept.

    A text keeps `MARGIN` characters more than its limit, so that a secret at the cut is still whole
    while it is searched for.

    Args:
        value: Any value, containers included.
        length: The longest text, in characters.
        items: The most items of a container.
        depth: The depth of this value within the whole.
    """
    if isinstance(value, str):
        return value[: length + MARGIN] if len(value) > length + MARGIN else value
    if depth >= MAX_DEPTH:
        return value
    if isinstance(value, Mapping):
        return {key: bounded(item, length, items, depth + 1) for key, item in islice(value.items(), items)}
    if isinstance(value, (list, tuple)):
        return [bounded(item, length, items, depth + 1) for item in value[:items]]
    return value


def clean_text(text: str) -> str:
    """Remove NUL and lone surrogates from a text: either can cost a whole batch."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text
