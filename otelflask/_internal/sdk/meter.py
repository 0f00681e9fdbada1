"""The SDK's meter, with instruments that never raise into the app."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk import metrics as sdk_metrics

from otelflask._internal import guard
from otelflask._internal.sdk import durations


class Meter(sdk_metrics.Meter):
    """The SDK's meter. Its instruments accept any value; one that cannot be made does nothing."""

    def create_counter(self, *arguments: Any, **options: Any) -> Any:
        return _made(super().create_counter, _nothing.create_counter, "add", arguments, options)

    def create_up_down_counter(self, *arguments: Any, **options: Any) -> Any:
        return _made(super().create_up_down_counter, _nothing.create_up_down_counter, "add", arguments, options)

    def create_histogram(self, *arguments: Any, **options: Any) -> Any:
        boundaries = options.get("explicit_bucket_boundaries_advisory")
        if isinstance(boundaries, (list, tuple)) and tuple(boundaries) == durations.HTTP_BY_CONVENTION:
            # Of another library's instrumentation.
            options["explicit_bucket_boundaries_advisory"] = durations.HTTP
        return _made(super().create_histogram, _nothing.create_histogram, "record", arguments, options)

    def create_gauge(self, *arguments: Any, **options: Any) -> Any:
        return _made(super().create_gauge, _nothing.create_gauge, "set", arguments, options)

    def create_observable_counter(self, *arguments: Any, **options: Any) -> Any:
        return _made(super().create_observable_counter, _nothing.create_observable_counter, "", arguments, options)

    def create_observable_gauge(self, *arguments: Any, **options: Any) -> Any:
        return _made(super().create_observable_gauge, _nothing.create_observable_gauge, "", arguments, options)

    def create_observable_up_down_counter(self, *arguments: Any, **options: Any) -> Any:
        create, instead = super().create_observable_up_down_counter, _nothing.create_observable_up_down_counter
        return _made(create, instead, "", arguments, options)


_nothing = NoOpMeter("")


def _made(
    create: Callable[..., Any], instead: Callable[..., Any], measures: str, arguments: Any, options: dict[str, Any]
) -> Any:
    """Make an instrument.

    Args:
        create: Makes it.
        instead: Makes one that does nothing.
        measures: The name of the method that measures, if any.
        arguments: Positional arguments.
        options: Keyword arguments.
    """
    instrument = guard.call_hook("creation of an instrument", functools.partial(create, *arguments, **options))
    if instrument is None:
        return instead("nothing")
    return _guarded(instrument, measures) if measures else instrument


def _guarded(instrument: Any, name: str) -> Any:
    """Guard an instrument's measuring method, so that it never raises."""
    method: Callable[..., None] = getattr(instrument, name)

    def measure(amount: Any, attributes: Any = None, context: Context | None = None) -> None:
        guard.call_hook("measurement", method, amount, attributes, context)

    if name not in vars(instrument):
        # On the instance, because the SDK looks up aggregations by the class. Once, because the SDK may return the same
        # instrument again.
        setattr(instrument, name, measure)
    return instrument
