"""What raises in telemetry that the app calls, or that calls the user's parts: said, and gone no further.

The SDK calls a user's processor in the app's thread, and takes the text of
whatever an app gives as an attribute: an exception in either would be the
app's own. So our providers hand out tracers, loggers and instruments of the
SDK's that raise nothing. Source: OpenTelemetry specification, "Error
handling", basic principles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.attributes import _clean_attribute_value

from otelflask._internal import guard
from otelflask._internal.guard import safe_text


def processor_failed(processor: Any) -> None:
    """A processor raised the exception being handled."""
    kind = type(processor)
    guard.users_failed(f"processor {kind.__module__}.{kind.__qualname__}")


def end_each(processors: Iterable[Any]) -> None:
    """Shut the processors down; one that raises keeps no other from its end."""
    for processor in processors:
        try:
            processor.shutdown()
        except Exception:
            processor_failed(processor)


def flushed(flush: Callable[[int], bool], timeout_millis: int) -> bool:
    """Whether all was flushed in time; not where a processor raised."""
    try:
        return flush(timeout_millis)
    except Exception:
        guard.users_failed("flush of a processor")
        return False


def provided(make: Callable[[], Any], kind: type, ours: type, nothing: Any) -> Any:
    """What a provider hands out: what the SDK makes as `kind` as ours, and `nothing` where it cannot be made."""
    try:
        made = make()
    except Exception:
        guard.users_failed(f"making of a {kind.__name__}")
        return nothing
    if type(made) is kind:
        # The SDK makes it by that class's name.
        made.__class__ = ours
    return made


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
