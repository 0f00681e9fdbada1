"""What raises in telemetry that the app calls, or that calls the user's parts: said, and gone no further.

The SDK calls a user's processor in the app's thread, and takes the text of
whatever an app gives as an attribute: an exception in either would be the
app's own. So our providers hand out tracers, loggers and instruments of the
SDK's that raise nothing. Source: OpenTelemetry specification, "Error
handling", basic principles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.attributes import _clean_attribute_value

from otelflask import guard
from otelflask.guard import safe_text


def processor_failed(processor: Any) -> None:
    """A processor raised the exception being handled."""
    kind = type(processor)
    guard.users_failed(f"processor {kind.__module__}.{kind.__qualname__}")


def safe_attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Attributes that the SDK could not take, so that it can: what raises when it is read as text, or left out."""
    taken: dict[str, Any] = {}
    try:
        for name, value in dict(attributes or {}).items():
            try:
                taken[safe_text(name)] = _clean_attribute_value(value, None)
            except Exception:
                taken[safe_text(name)] = safe_text(value)
    except Exception:
        # A mapping that cannot be read has no more to take.
        guard.users_failed("mapping of attributes")
    return taken
