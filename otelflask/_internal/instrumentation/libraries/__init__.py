"""Other libraries, by OpenTelemetry's own instrumentations."""

from __future__ import annotations

from otelflask._internal.instrumentation.libraries.instrument import instrument, is_installed, uninstrument

__all__ = ["instrument", "is_installed", "uninstrument"]
