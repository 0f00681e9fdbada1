"""The event names of otelflask's own log records. Apps cannot use them.

`docs/telemetry.md` has them, with the comments here.
"""

from __future__ import annotations

#: One request: a line of the access log.
REQUEST = "http.server.request"
#: An error report of an exception (semantic conventions, "Exceptions").
EXCEPTION = "exception"
#: An error report of a message without an exception.
MESSAGE = "otelflask.message"
#: How often a group of errors occurred.
ERROR_GROUP = "otelflask.error_group"
#: A statement took `slow_query_threshold` or longer.
SLOW_QUERY = "otelflask.slow_query"
#: A request ran one statement again and again (N+1).
REPEATED_QUERY = "otelflask.repeated_query"
#: A process has started its telemetry.
START = "otelflask.start"
#: A WebSocket was closed.
WEBSOCKET = "otelflask.websocket"
#: A run of a job or command has ended.
JOB = "otelflask.job"
#: A circuit breaker changed its state.
CIRCUIT_BREAKER = "otelflask.circuit_breaker"

#: Records that hold a whole error report.
REPORTS = (EXCEPTION, MESSAGE)
#: The diagnostic for a name that an app cannot use.
NOT_ALLOWED = (
    "%r is not a valid event name; allowed is a text such as order.placed, except a name of otelflask's own records"
)
_PREFIX = "otelflask."


def is_reserved(name: str) -> bool:
    """Whether this name is one of ours, or begins with our prefix."""
    return name.startswith(_PREFIX) or name in (REQUEST, EXCEPTION)
