"""What raises in telemetry that the app calls, or that calls the user's parts: said, and gone no further.

The SDK calls a user's processor in the app's thread, and takes the text of
whatever an app gives as an attribute: an exception in either would be the
app's own. So our providers hand out tracers, loggers and instruments of the
SDK's that raise nothing. Source: OpenTelemetry specification, "Error
handling", basic principles.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.context import Context

from otelflask._internal import guard
from otelflask._internal.compat.otel_api import clean_attribute_value
from otelflask._internal.guard import safe_text


def processor_failed(processor: Any, error: Exception) -> None:
    """A processor raised this."""
    kind = type(processor)
    guard.users_failed(f"processor {kind.__module__}.{kind.__qualname__}", error)


def end_each(processors: Iterable[Any]) -> None:
    """Shut the processors down; one that raises keeps no other from its end."""
    for processor in processors:
        guard.attempt(_shut_down, processor, instead=functools.partial(processor_failed, processor))


def _shut_down(processor: Any) -> None:
    processor.shutdown()


def tell_started(processors: Iterable[Any], span: Any, context: Context | None) -> None:
    """Tell span processors of a start; what one raises keeps no other from being told."""

    def tell(processor: Any) -> None:
        processor.on_start(span, parent_context=context)

    for processor in processors:
        guard.attempt(tell, processor, instead=functools.partial(processor_failed, processor))


def flushed(flush: Callable[[int], bool], timeout_millis: int) -> bool:
    """Whether all was flushed in time; not where a processor raised."""
    return bool(guard.call_hook("flush of a processor", flush, timeout_millis))


def provided(make: Callable[[], Any], kind: type, ours: type, nothing: Any) -> Any:
    """What a provider hands out: what the SDK makes as `kind` as ours, and `nothing` where it cannot be made."""
    made = guard.call_hook(f"making of a {kind.__name__}", make)
    if made is None:
        return nothing
    if type(made) is kind:
        # The SDK makes it by that class's name.
        made.__class__ = ours
    return made


def safe_attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Attributes that the SDK could not take, so that it can: what raises when it is read as text, or left out."""
    taken: dict[str, Any] = {}
    # Of a mapping that cannot be read, what was read.
    guard.call_hook("mapping of attributes", _take, attributes, taken)
    return taken


def _take(attributes: Mapping[str, Any] | None, taken: dict[str, Any]) -> None:
    for name, value in dict(attributes or {}).items():
        clean = guard.attempt(_clean, value, instead=lambda error, value=value: safe_text(value))  # type: ignore[misc]
        taken[safe_text(name)] = clean


def _clean(value: Any) -> Any:
    return clean_attribute_value(value, None)
