"""pytest plugin: fixtures ``captured_telemetry``, ``fixed_clock`` and ``fake_collector``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    # Imported by the fixtures, so that a test run without them pays nothing.
    from otelflask._internal.testing.capture import CapturedTelemetry
    from otelflask._internal.testing.clock import FixedClock
    from otelflask._internal.testing.collector import FakeCollector


@pytest.fixture
def captured_telemetry() -> Iterator[CapturedTelemetry]:
    """In-memory providers with ids 1, 2, 3, … Afterwards the instrumentation with them is undone."""
    from otelflask._internal.testing.capture import CapturedTelemetry
    from otelflask._internal.wiring import install as wiring

    captured = CapturedTelemetry()
    try:
        yield captured
    finally:
        wiring.withdraw(captured.logger_provider)
        captured.close()


@pytest.fixture
def fixed_clock() -> Iterator[FixedClock]:
    """A clock at 2024-01-01T00:00:00Z for all telemetry. ``fixed_clock.advance(seconds)`` moves it."""
    from otelflask._internal.testing.clock import FixedClock, frozen

    with frozen(FixedClock()) as clock:
        yield clock


@pytest.fixture
def fake_collector() -> Iterator[FakeCollector]:
    """A running OTLP receiver on 127.0.0.1, over HTTP and gRPC."""
    from otelflask._internal.testing.collector import FakeCollector

    with FakeCollector() as collector:
        yield collector
