"""Work that no request starts: commands."""

from __future__ import annotations

from otelflask._internal.instrumentation.jobs.instrument import instrument, uninstrument

__all__ = ["instrument", "uninstrument"]
