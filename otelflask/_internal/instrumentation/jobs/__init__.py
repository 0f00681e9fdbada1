"""Work that no request runs: jobs of queues and schedulers, and commands."""

from __future__ import annotations

from otelflask._internal.instrumentation.jobs.instrument import instrument, uninstrument

__all__ = ["instrument", "uninstrument"]
