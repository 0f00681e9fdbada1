"""The event names of otelflask's own log records: each is said once, here, and no app gives one to its own."""

from __future__ import annotations

#: One request; the access log's line.
REQUEST = "http.server.request"
#: An error report (semantic conventions, "Exceptions"), and one of a text without an exception.
EXCEPTION = "exception"
MESSAGE = "otelflask.message"
#: How often a group of errors occurred.
ERROR_GROUP = "otelflask.error_group"
SLOW_QUERY = "otelflask.slow_query"
REPEATED_QUERY = "otelflask.repeated_query"
#: A circuit breaker has changed its state.
CIRCUIT_BREAKER = "otelflask.circuit_breaker"

#: Records that report an error whole.
REPORTS = (EXCEPTION, MESSAGE)
#: Said of a name that an app cannot give.
NOT_ALLOWED = (
    "%r is no name for an event; allowed is a text such as order.placed, and no name of otelflask's own records"
)
_PREFIX = "otelflask."


def is_reserved(name: str) -> bool:
    """Whether a record of this name would be taken for one of ours: those of today, and all with our prefix."""
    return name.startswith(_PREFIX) or name in (REQUEST, EXCEPTION)
