"""The record of one request, from its arrival to its last byte.

It imports nothing of ours and does not know who reads it. What arrives and what becomes of it
has a field here. What a single observer needs for each request stands behind its own `PerRequest`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span

#: The key of the record in the WSGI environ.
ENVIRON_KEY = "otelflask.record"

#: Methods that may stand on metrics and in span names (semantic conventions, ``http.request.method``).
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
#: The longest path, query and header that is kept, in characters.
MAX_LENGTH = 2_048

_PROTOCOLS = {"HTTP/1.0": "1.0", "HTTP/1.1": "1.1", "HTTP/2": "2", "HTTP/2.0": "2", "HTTP/3": "3", "HTTP/3.0": "3"}
#: Only these: a proxy's header must not create metric series.
_SCHEMES = frozenset({"http", "https", "ws", "wss"})
_NUMBER = re.compile(r"\d{1,18}\Z", re.A)
_EMPTY_CONTEXT = Context()
#: Shared, and never written to.
_NOTHING: dict[str, Any] = {}

T = TypeVar("T")


class RequestAttributes(NamedTuple):
    """A request's attributes by the semantic conventions, shared by its span, log record and reports.

    The most important layer comes first, because a limit drops attributes from the end. The layers
    must not be changed.
    """

    #: The outcome: method (known from the start), status, route, error type.
    outcome: dict[str, Any] = _NOTHING
    #: What only this request has: path, query, client, id.
    request: dict[str, Any] = _NOTHING
    #: What is counted (sizes, statements), and the user.
    measured: dict[str, Any] = _NOTHING
    #: What requests of similar callers have in common: scheme, server, protocol, user agent.
    caller: dict[str, Any] = _NOTHING


class RequestRecord:
    """One request. Observers read it and add to it.

    ``instrumentation.http.middleware`` opens it and closes it once.

    Args:
        environ: The WSGI environ. Its values come from a stranger, and are cut here.
        started_at: The start in epoch nanoseconds.
        ticks: The start by the monotonic clock, in nanoseconds.

    Attributes:
        started_at, ended_at: Epoch nanoseconds.
        duration: Seconds.
        request_size, response_size: Bytes of the bodies; None where unknown.
        status: The HTTP status; 0 while there is none.
        unhandled: Whether no handler of the app took the exception.
        broken: Whether an exception ended the body after the status was sent.
    """

    __slots__ = (
        "_started_ticks",
        "attributes",
        "broken",
        "client",
        "closed",
        "context",
        "duration",
        "ended_at",
        "environ",
        "error",
        "error_type",
        "host",
        "joined",
        "method",
        "path",
        "profile_id",
        "protocol",
        "query",
        "query_count",
        "query_time",
        "request_id",
        "request_size",
        "response_headers",
        "response_size",
        "route",
        "sampled",
        "scheme",
        "span",
        "started_at",
        "states",
        "status",
        "unhandled",
        "user_agent",
        "user_id",
    )

    def __init__(self, environ: dict[str, Any], started_at: int, ticks: int) -> None:
        self.started_at = started_at
        self._started_ticks = ticks
        self.environ = environ
        get = environ.get
        method = get("REQUEST_METHOD", "")
        self.method: str = method if method in KNOWN_METHODS else "_OTHER"
        scheme = get("wsgi.url_scheme", "http")
        self.scheme: str = scheme if scheme in _SCHEMES else "_OTHER"
        self.host: str = (get("HTTP_HOST") or get("SERVER_NAME") or "")[:255]
        self.protocol: str | None = _PROTOCOLS.get(get("SERVER_PROTOCOL", ""))
        self.user_agent: str = (get("HTTP_USER_AGENT") or "")[:512]
        path = (get("SCRIPT_NAME") or "") + (get("PATH_INFO") or "/")
        self.path: str = path[:MAX_LENGTH] if path.isascii() else _decoded(path[:MAX_LENGTH])
        self.query: str = (get("QUERY_STRING") or "")[:MAX_LENGTH]
        # A hand-written fix for a proxy may put None there.
        self.client: str = (get("REMOTE_ADDR") or "")[:64]
        self.request_id = ""
        self.span: Span = INVALID_SPAN
        self.sampled = False
        self.context: Context = _EMPTY_CONTEXT
        self.attributes = _NO_ATTRIBUTES
        self.user_id: str | None = None
        self.route: str | None = None
        self.status = 0
        self.request_size: int | None = None
        self.response_size = 0
        self.response_headers: list[tuple[str, str]] = []
        self.error: BaseException | None = None
        #: ``error.type``: the type of the exception that ended the request, else a 5xx status as text. Set at the end.
        self.error_type: str | None = None
        self.unhandled = False
        self.broken = False
        #: The number of statements, and the nanoseconds that they took together.
        self.query_count = 0
        self.query_time = 0
        #: The id of the profile that is kept of this request.
        self.profile_id = ""
        self.states: dict[PerRequest[Any], Any] = {}
        #: Observers of this one request. They are called at its end, besides those of the app.
        self.joined: tuple[Any, ...] = ()
        self.duration = 0.0
        self.ended_at = 0
        self.closed = False

    @property
    def method_original(self) -> str:
        """The method as it arrived, cut, where `method` has no name for it."""
        return str(self.environ.get("REQUEST_METHOD"))[:64]

    def stop(self, ticks: int) -> None:
        """Set what became of the request.

        Args:
            ticks: The end by the monotonic clock, in nanoseconds, so that it is never before the start.
        """
        elapsed = ticks - self._started_ticks
        self.duration = elapsed / 1e9
        self.ended_at = self.started_at + elapsed
        if not self.status:
            # The app returned without calling start_response, so the server got no answer.
            self.status = 500
        self.error_type = self._error_type()
        length = self.environ.get("CONTENT_LENGTH")
        if length and _NUMBER.match(length):
            self.request_size = int(length)

    def release(self) -> None:
        """Drop what is large, and the environ, which refers back to this record."""
        self.environ = {}
        self.states = {}
        self.joined = ()
        self.error = None

    def _error_type(self) -> str | None:
        if self.status < 500 and not self.broken:
            return None
        # Look at the class: an exception may answer for attributes itself.
        if self.error is not None and not hasattr(type(self.error), "get_response"):
            kind = type(self.error)
            return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        return str(self.status)


_NO_ATTRIBUTES = RequestAttributes()


class PerRequest(Generic[T]):
    """What one observer keeps for each request.

    Args:
        make: Makes it on first use.
    """

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make

    def of(self, record: RequestRecord) -> T:
        """The object of a request. It is made on first use."""
        found = record.states.get(self)
        if found is None:
            found = record.states[self] = self._make()
        return found

    def known(self, record: RequestRecord) -> T | None:
        """The object of a request; None where none was made."""
        return record.states.get(self)


def _decoded(path: str) -> str:
    """A WSGI path as text. WSGI carries its bytes as Latin-1 (PEP 3333)."""
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


def route_of(environ: dict[str, Any]) -> str | None:
    """``http.route``: the rule that Flask matched, or None."""
    request = environ.get("werkzeug.request")
    rule = getattr(request, "url_rule", None)
    return rule.rule if rule is not None else None
