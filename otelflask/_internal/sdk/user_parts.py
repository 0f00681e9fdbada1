"""Exceptions in telemetry that the app calls, and in the user's parts: logged, and never raised into the app.

The SDK calls a user's processor in the app's thread, and reads any object that an app passes as
an attribute. An exception in either would reach the app. So our providers return tracers, loggers
and instruments of the SDK that do not raise. Source: OpenTelemetry specification, "Error
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
    """Log an exception of a processor."""
    kind = type(processor)
    guard.user_code_failed(f"processor {kind.__module__}.{kind.__qualname__}", error)


def takes_last(processor: Any) -> bool:
    """Whether a processor is one of ours that sends or writes, behind those of the user, which may change what is sent.

    As with the SDK's, which encode later, whichever was added first.
    """
    return getattr(type(processor), "takes_last", False) is True


def end_each(processors: Iterable[Any]) -> None:
    """Shut down processors. An exception of one does not stop the others."""
    for processor in processors:
        guard.attempt(_shut_down, processor, on_error=functools.partial(processor_failed, processor))


def _shut_down(processor: Any) -> None:
    processor.shutdown()


def notify_started(processors: Iterable[Any], span: Any, context: Context | None) -> None:
    """Call span processors at a span's start. An exception of one does not stop the others."""

    def notify(processor: Any) -> None:
        processor.on_start(span, parent_context=context)

    for processor in processors:
        guard.attempt(notify, processor, on_error=functools.partial(processor_failed, processor))


def flushed(flush: Callable[[int], bool], timeout_millis: int) -> bool:
    """Whether everything was flushed in time. False where a processor raised."""
    return bool(guard.call_hook("flush of a processor", flush, timeout_millis))


def provided(make: Callable[[], Any], kind: type, ours: type, nothing: Any) -> Any:
    """What a provider returns: the SDK's object with our class, or `nothing` where it cannot be made."""
    made = guard.call_hook(f"creation of a {kind.__name__}", make)
    if made is None:
        return nothing
    if type(made) is kind:
        # The SDK instantiates its own class.
        made.__class__ = ours
    return made


def safe_attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Attributes in a form that the SDK accepts. What raises when it is read becomes text, or is left out."""
    taken: dict[str, Any] = {}
    # If the mapping fails midway, keep what was read.
    guard.call_hook("mapping of attributes", _take, attributes, taken)
    return taken


def _take(attributes: Mapping[str, Any] | None, taken: dict[str, Any]) -> None:
    for name, value in dict(attributes or {}).items():
        clean = guard.attempt(_clean, value, on_error=lambda error, value=value: safe_text(value))  # type: ignore[misc]
        taken[safe_text(name)] = clean


def _clean(value: Any) -> Any:
    return clean_attribute_value(value, None)
