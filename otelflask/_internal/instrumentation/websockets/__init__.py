"""WebSockets: the handshake is a request with status 101, and the connection has metrics and a line of its own."""

from __future__ import annotations

from otelflask._internal.instrumentation.websockets.instrument import instrument, uninstrument

__all__ = ["instrument", "uninstrument"]
