"""Public test kit; its pytest fixtures are in ``otelflask.testing.plugin``, loaded by itself."""

from otelflask.testing.capture import CapturedTelemetry, SequentialIds
from otelflask.testing.clock import FixedClock
from otelflask.testing.collector import FakeCollector, Received, Reply

__all__ = ["CapturedTelemetry", "FakeCollector", "FixedClock", "Received", "Reply", "SequentialIds"]
