"""Public test kit. Its pytest fixtures load by themselves: `captured_telemetry`, `fake_collector`, `fixed_clock`."""

# First: under gunicorn and zero code, telemetry starts with the import of Flask, and needs the modules below whole.
import flask as _flask  # noqa: F401

from otelflask._internal.testing.capture import CapturedTelemetry, SequentialIds
from otelflask._internal.testing.clock import FixedClock
from otelflask._internal.testing.collector import FakeCollector, Received, Reply

__all__ = ["CapturedTelemetry", "FakeCollector", "FixedClock", "Received", "Reply", "SequentialIds"]
