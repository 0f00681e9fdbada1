"""The SDK's meter, whose instruments raise nothing into the app."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk import metrics as sdk_metrics

from otelflask._internal import guard


class Meter(sdk_metrics.Meter):
    """The SDK's meter, whose instruments take what the app gives them; one that cannot be made does nothing."""

    def create_counter(self, *arguments: Any, **options: Any) -> Any:
        return _made(super().create_counter, _nothing.create_counter, "add", arguments, options)

    def create_up_down_counter(self, *arguments: Any, **options: Any) -> Any:
        return _made(super().create_up_down_counter, _nothing.create_up_down_counter, "add", arguments, options)

    def create_histogram(self, *arguments: Any, **options: Any) -> Any:
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
    """An instrument. In: what makes it, what makes one that does nothing, and the method that measures, if any."""
    instrument = guard.call_hook("making of an instrument", functools.partial(create, *arguments, **options))
    if instrument is None:
        return instead("nothing")
    return _guarded(instrument, measures) if measures else instrument


def _guarded(instrument: Any, name: str) -> Any:
    """The instrument, whose measurements raise nothing. In: the method that measures."""
    method: Callable[..., None] = getattr(instrument, name)

    def measure(amount: Any, attributes: Any = None, context: Context | None = None) -> None:
        guard.call_hook("measurement", method, amount, attributes, context)

    if name not in vars(instrument):
        # On the object, since the SDK looks up aggregations by its class; once, since it may give the same again.
        setattr(instrument, name, measure)
    return instrument
