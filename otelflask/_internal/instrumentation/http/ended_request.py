"""A request that has ended, as the flat tuple that is handed over, and what its views have in common."""

from __future__ import annotations

from typing import NamedTuple

from otelflask._internal.compat.otel_api import ids_of
from otelflask._internal.exceptions.attributes import exception_layer
from otelflask._internal.request_record import RequestRecord
from otelflask._internal.sdk.flat_items import Flat, flat_value

#: The longest status description of a span, in characters.
MAX_DESCRIPTION = 1_024
#: Where the fields of an `EndedRequest` end that many requests have in common, and those that repeat for a client.
OF_KIND, OF_CLIENT = 9, 15


class EndedRequest(NamedTuple):
    """What the views of a request are made of. The fields of a `RequestRecord` have its names.

    Attributes:
        app_error: Code and message of the `AppError` that the app has raised as its answer.
        trace_id, span_id, trace_flags: Of its span. The first bit of the flags says whether it is sampled.
        exception_type, exception_message, exception_stacktrace: Of the exception that ended it; empty without one.
    """

    method: str
    route: str | None
    status: int
    error_type: str | None
    broken: bool
    scheme: str
    protocol: str | None
    host: str
    user_agent: str
    # Up to here what many requests have in common. The next ones repeat where a client asks for the same again.
    method_original: str
    path: str
    query_string: str
    client: str
    request_size: int | None
    response_size: int
    # The others differ.
    request_id: str
    user_id: str | None
    statement_count: int
    statement_time_ns: int
    app_error: tuple[str | int, str] | None
    profile_id: str
    ended_at: int
    duration: float
    trace_id: int
    span_id: int
    trace_flags: int
    exception_type: str
    exception_message: str
    exception_stacktrace: str

    @property
    def description(self) -> str:
        """The description of its span's status; empty without an exception."""
        return self.exception_message[:MAX_DESCRIPTION]


def flat_request(record: RequestRecord) -> Flat:
    """The fields of an `EndedRequest` as a plain tuple, which the garbage collector does not track."""
    trace_id, span_id, flags = ids_of(record.span_context)
    method = record.method
    kind = message = stack = ""
    if record.error is not None and record.error_type is not None:
        layer = exception_layer(record.error, record.context)
        kind, message, stack = layer["exception.type"], layer["exception.message"], layer["exception.stacktrace"]
    # In the order of EndedRequest.
    return (
        method,
        record.route,
        record.status,
        record.error_type,
        record.broken,
        record.scheme,
        record.protocol,
        record.host,
        record.user_agent,
        record.method_original if method == "_OTHER" else "",
        record.path,
        record.query_string,
        record.client,
        record.request_size,
        record.response_size,
        record.request_id,
        record.user_id,
        record.statement_count,
        record.statement_time_ns,
        tuple(map(flat_value, record.app_error)) if record.app_error is not None else None,
        record.profile_id,
        record.ended_at,
        record.duration,
        trace_id,
        span_id,
        int(flags),
        kind,
        message,
        stack,
    )
