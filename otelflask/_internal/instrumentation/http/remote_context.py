"""The trace context of the caller, as far as it is trusted."""

from __future__ import annotations

import functools
from typing import Any

from opentelemetry import propagate
from opentelemetry import trace as trace_api
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.instrumentation.wsgi import wsgi_getter
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import Link
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otelflask._internal import guard
from otelflask._internal.compat.otel_api import parts_of_propagator

#: The longest header, in characters, for a propagator. W3C limits baggage to 8192 bytes.
MAX_HEADER_LENGTH = 8_192
_W3C_HEADERS = ("HTTP_TRACEPARENT", "HTTP_BAGGAGE")
_EMPTY = Context()


@functools.lru_cache(maxsize=4)
def _is_w3c(propagator: Any) -> bool:
    parts = parts_of_propagator(propagator) if isinstance(propagator, CompositePropagator) else [propagator]
    return all(isinstance(part, (TraceContextTextMapPropagator, W3CBaggagePropagator)) for part in parts)


def remote_context(environ: dict[str, Any], mode: str) -> tuple[Context, tuple[Link, ...]]:
    """The parent context and the links of a request. Headers that cannot be read are ignored.

    Args:
        environ: The WSGI environ.
        mode: The setting `remote_context`.
    """
    if mode == "ignore":
        return _EMPTY, ()
    propagator = propagate.get_global_textmap()
    if "HTTP_TRACEPARENT" not in environ and "HTTP_BAGGAGE" not in environ and _is_w3c(propagator):
        return _EMPTY, ()
    carrier = environ
    if any(len(environ.get(header, "")) > MAX_HEADER_LENGTH for header in (*_W3C_HEADERS, "HTTP_TRACESTATE")):
        carrier = {
            key: value
            for key, value in environ.items()
            if not (isinstance(value, str) and key.startswith("HTTP_") and len(value) > MAX_HEADER_LENGTH)
        }
    baggage = carrier.get("HTTP_BAGGAGE", "")
    if "  " in baggage or "\t" in baggage:
        # White space around members has no meaning (W3C Baggage, 3.2.1), and a propagator would read a long run of it
        # again from each of its characters.
        carrier = {**carrier, "HTTP_BAGGAGE": " ".join(baggage.split())}
    context = _EMPTY
    with guard.log_errors("propagator", "a propagator raised on a request's headers; they are ignored"):
        context = propagator.extract(carrier, context=Context(), getter=wsgi_getter)
    remote = trace_api.get_current_span(context).get_span_context()
    if mode == "link" and remote.is_valid:
        # The baggage stays, without the span as a parent.
        return trace_api.set_span_in_context(trace_api.INVALID_SPAN, context), (Link(remote),)
    return context, ()
