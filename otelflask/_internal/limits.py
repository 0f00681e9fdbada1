"""Bounds on what one span, record or metric may carry.

The SDK bounds the number of attributes, but by default not their length, and
in 1.45 not the number of attribute sets of a metric. Sources: OpenTelemetry
specification, "Common: attribute limits" and "Metrics SDK: cardinality limits".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

#: Characters of a body and of a stack trace that are kept: no variable of OpenTelemetry's sets them.
BODY_LENGTH = 32_768
STACKTRACE_LENGTH = 16_384
#: Characters beyond what is kept of a text that are masked with it.
ROOM = 1_024
#: Items that are kept of a container, and how deep containers are followed.
MAX_ITEMS = 256
MAX_DEPTH = 8
#: The attribute that marks the set into which a metric's overflow goes (Metrics SDK specification).
OVERFLOW_ATTRIBUTES = {"otel.metric.overflow": True}


@dataclass(frozen=True, slots=True)
class Limits:
    """What an item of one signal may carry.

    `value_length` in characters (text) and bytes (bytes); `attribute_count`
    is of one span, event, link or log record.
    """

    value_length: int = 8_192
    attribute_count: int = 128

    def text(self, text: str, limit: int | None = None) -> str:
        """The text cut to `limit` characters (default: `value_length`)."""
        limit = self.value_length if limit is None else limit
        return text if len(text) <= limit else cut(text, limit)


def cut(text: str, length: int) -> str:
    """The text's first characters, and a mark where there were more."""
    if len(text) <= length:
        return text
    return text[: length - 1] + "…" if length > 0 else ""


def cut_stacktrace(text: str) -> str:
    """A stack trace cut in its middle: the entry point and the place of the error both stay."""
    if len(text) <= STACKTRACE_LENGTH:
        return text
    head = STACKTRACE_LENGTH // 4
    tail = STACKTRACE_LENGTH - head
    return f"{text[:head]}\n  … {len(text) - STACKTRACE_LENGTH} characters left out …\n{text[-tail:]}"


def bounded(value: Any, length: int, items: int = MAX_ITEMS, depth: int = 0) -> Any:
    """The value cut before it is masked, so that masking costs no more than what may be kept of it.

    In: characters of a text and items of a container. A text keeps some room beyond, so that a secret at the cut is
    whole when it is looked for.
    """
    if isinstance(value, str):
        return value[: length + ROOM] if len(value) > length + ROOM else value
    if depth >= MAX_DEPTH:
        return value
    if isinstance(value, Mapping):
        return {key: bounded(item, length, items, depth + 1) for key, item in islice(value.items(), items)}
    if isinstance(value, (list, tuple)):
        return [bounded(item, length, items, depth + 1) for item in value[:items]]
    return value


def clean_text(text: str) -> str:
    """The text without NUL and lone surrogates, either of which can cost a whole batch."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text
