"""Attributes without secrets, within their limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otelflask._internal.guard import safe_text
from otelflask._internal.limits import MAX_ITEMS, STACKTRACE_LENGTH, Limits, bounded, clean_text, cut_stacktrace
from otelflask._internal.redaction.scrubber import Scrubber


def cleaned(value: Any, limits: Limits) -> Any:
    """A masked value that can be encoded and is within the limits."""
    if isinstance(value, str):
        return clean_text(limits.text(value))
    if isinstance(value, (list, tuple)):
        return [cleaned(item, limits) for item in value[:MAX_ITEMS]]
    if isinstance(value, Mapping):
        return {clean_text(str(key)): cleaned(item, limits) for key, item in value.items()}
    return value


def scrubbed_attributes(attributes: Mapping[str, Any] | None, scrubber: Scrubber, limits: Limits) -> dict[str, Any]:
    """Attributes, masked and within the limits."""
    of_stack = Limits(STACKTRACE_LENGTH)
    kept: dict[str, Any] = {}
    for key, value in (attributes or {}).items():
        own = limits
        if key == "exception.stacktrace":
            value, own = cut_stacktrace(safe_text(value)), of_stack
        kept[clean_text(key)] = cleaned(scrubber.value(key, bounded(value, own.value_length, MAX_ITEMS)), own)
    return kept
