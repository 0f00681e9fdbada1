"""The SDK's meter, whose instruments raise nothing into the app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk import metrics as sdk_metrics

from otelflask import guard


class Meter(sdk_metrics.Meter):
    """The SDK's meter, whose instruments take what the app gives them."""

    def create_counter(self, *arguments: Any, **options: Any) -> Any:
        return _guarded(super().create_counter(*arguments, **options), "add")

    def create_up_down_counter(self, *arguments: Any, **options: Any) -> Any:
        return _guarded(super().create_up_down_counter(*arguments, **options), "add")

    def create_histogram(self, *arguments: Any, **options: Any) -> Any:
        return _guarded(super().create_histogram(*arguments, **options), "record")

    def create_gauge(self, *arguments: Any, **options: Any) -> Any:
        return _guarded(super().create_gauge(*arguments, **options), "set")


def _guarded(instrument: Any, name: str) -> Any:
    """The instrument, whose measurements raise nothing. In: the method that measures."""
    method: Callable[..., None] = getattr(instrument, name)

    def measure(amount: Any, attributes: Any = None, context: Context | None = None) -> None:
        try:
            method(amount, attributes, context)
        except Exception:
            guard.users_failed("measurement")

    if name not in vars(instrument):
        # On the object, since the SDK looks up aggregations by its class; once, since it may give the same again.
        setattr(instrument, name, measure)
    return instrument
