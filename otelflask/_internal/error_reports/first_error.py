"""The error that came first, where a later exception only says that nobody has rolled back after it.

After a failed flush, SQLAlchemy raises PendingRollbackError at each use of the session. It has no
place and no cause of its own: the problem is the statement that failed.
"""

from __future__ import annotations

from otelflask._internal.exceptions.attributes import exception_type
from otelflask._internal.exceptions.walk import Walk, walk
from otelflask._internal.instrumentation.database.request_queries import failure_of
from otelflask._internal.request_record import RequestRecord

_NAME = "PendingRollbackError"
_CONSEQUENCE = f"sqlalchemy.exc.{_NAME}"


def first_error(walked: Walk, record: RequestRecord | None) -> Walk:
    """The walk of the first error.

    Args:
        walked: The walk of an exception.
        record: Its request.

    Returns:
        For a PendingRollbackError, the walk of the exception during which it was raised, else of the last
        statement that failed in the request, where there is one. Otherwise the same walk.
    """
    # The name alone is cheaper to compare.
    if type(walked.error).__name__ != _NAME or exception_type(walked.error) != _CONSEQUENCE:
        return walked
    for node in walked.root.chain():
        if exception_type(node.error) != _CONSEQUENCE:
            return walk(node.error, record.context if record is not None else None)
    failure = failure_of(record) if record is not None else None
    return walk(failure, record.context) if record is not None and failure is not None else walked
