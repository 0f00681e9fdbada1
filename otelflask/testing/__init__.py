"""Public test kit; its pytest fixtures are in ``otelflask.testing.plugin``, loaded by itself."""

from otelflask._internal.testing.capture import CapturedTelemetry, SequentialIds
from otelflask._internal.testing.clock import FixedClock
from otelflask._internal.testing.collector import FakeCollector, Received, Reply

__all__ = ["CapturedTelemetry", "FakeCollector", "FixedClock", "Received", "Reply", "SequentialIds"]
