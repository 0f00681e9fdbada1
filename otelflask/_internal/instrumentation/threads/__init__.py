"""Threads, executors and greenlets: what a request starts goes on in the request's context."""

from __future__ import annotations

from otelflask._internal.instrumentation.threads.instrument import instrument, uninstrument

__all__ = ["instrument", "uninstrument"]
