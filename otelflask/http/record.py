"""What is known of one request, from the moment the server hands it over to its last byte."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any

from flask import has_request_context, request
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span

from otelflask import clock
from otelflask.pipeline.attributes import Layer

#: Where a request's record lies in the WSGI environ.
ENVIRON_KEY = "otelflask.record"

#: Methods that may stand on metrics and span names (semantic conventions, ``http.request.method``).
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})

_NUMBER = re.compile(r"\d{1,18}\Z", re.A)
_EMPTY_CONTEXT = Context()


class RequestRecord:
    """One request. Rooms read it and add to it; ``http.middleware`` closes it once.

    `status` is the response's status code, 0 while there is none. Times are
    epoch nanoseconds (`started_at`) and seconds (`duration`). Sizes are body
    bytes, None where unknown. `broken` says that the body ended with an exception,
    after a status was sent; `unhandled` that no handler of the app's wanted its exception.
    """

    __slots__ = (
        "_started_ticks",
        "at_close",
        "broken",
        "closed",
        "context",
        "duration",
        "environ",
        "error",
        "layers",
        "method",
        "problems",
        "queries",
        "request_id",
        "request_size",
        "response_headers",
        "response_size",
        "route",
        "sampled",
        "scope",
        "span",
        "started_at",
        "status",
        "trail",
        "unhandled",
        "user_id",
    )

    def __init__(self, environ: dict[str, Any]) -> None:
        self.started_at = clock.time_ns()
        self._started_ticks = clock.perf_counter_ns()
        self.environ = environ
        method = environ.get("REQUEST_METHOD", "")
        self.method: str = method if method in KNOWN_METHODS else "_OTHER"
        self.span: Span = INVALID_SPAN
        self.sampled = False
        self.context: Context = _EMPTY_CONTEXT
        self.layers: tuple[Layer, ...] = ()
        self.request_id = ""
        self.user_id: str | None = None
        self.route: str | None = None
        self.status = 0
        self.request_size: int | None = None
        self.response_size = 0
        self.response_headers: list[tuple[str, str]] = []
        self.error: BaseException | None = None
        self.unhandled = False
        #: What may become an error report at the end, the log lines before it, sentry-sdk's scope of the request.
        self.problems: list[Any] = []
        self.trail: deque[Any] | None = None
        self.scope: Any = None
        #: What the request asked of databases, and what rooms want to add to its attributes when it is over.
        self.queries: Any = None
        self.at_close: list[Callable[[RequestRecord], dict[str, Any]]] = []
        self.duration = 0.0
        self.broken = False
        self.closed = False

    def stop(self) -> int:
        """Fix the duration. Out: the end in epoch ns, by the monotonic clock, so that it is never before the start."""
        elapsed = clock.perf_counter_ns() - self._started_ticks
        self.duration = elapsed / 1e9
        length = self.environ.get("CONTENT_LENGTH")
        if length and _NUMBER.match(length):
            self.request_size = int(length)
        return self.started_at + elapsed

    def release(self) -> None:
        """It is closed: let go of what is large, and of the environ, which holds this record."""
        self.environ = {}
        self.scope = self.trail = self.error = self.queries = None
        self.problems = []
        self.at_close = []

    @property
    def error_type(self) -> str | None:
        """``error.type``: the exception's type where one ended the request, else a 5xx status as text."""
        if self.status < 500 and not self.broken:
            return None
        # Asked of the class: an exception may answer for attributes itself.
        if self.error is not None and not hasattr(type(self.error), "get_response"):
            kind = type(self.error)
            return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        return str(self.status)


def current_record() -> RequestRecord | None:
    """The record of the request being handled, or None outside of one."""
    if not has_request_context():
        return None
    # Asked on every log line: the request itself is faster than its proxy.
    record = request._get_current_object().environ.get(ENVIRON_KEY)  # type: ignore[attr-defined]
    return record if isinstance(record, RequestRecord) else None


def get_request_id() -> str | None:
    """The id of the request being handled: the caller's, or one of ours; None outside of a request."""
    record = current_record()
    return record.request_id or None if record is not None else None


def set_user(user_id: object) -> None:
    """Say who makes the current request: `user_id` goes to its span and request log as ``user.id``.

    Does nothing outside of a request. None takes it back.
    """
    record = current_record()
    if record is not None:
        try:
            record.user_id = None if user_id is None else str(user_id)[:256]
        except Exception:
            record.user_id = None
