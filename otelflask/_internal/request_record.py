"""The record of one request, from its arrival to its last byte.

It imports nothing of ours and does not know who reads it. The request's data and its outcome are
fields. Data that only one observer needs is kept by a `PerRequest`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from opentelemetry.context import Context, create_key
from opentelemetry.trace import INVALID_SPAN, INVALID_SPAN_CONTEXT, Span, SpanContext

#: The key of the record in the WSGI environ.
ENVIRON_KEY = "otelflask.record"
#: The status of a request that becomes a WebSocket (RFC 6455, section 4.2.2).
SWITCHING_PROTOCOLS = 101
#: Its key in OpenTelemetry's context, which goes on in threads that the request starts.
RECORD_KEY = create_key("otelflask-record")
#: The key of the data of observers.
_STATES_KEY = "otelflask.states"
#: The key, in OpenTelemetry's context, of a command's span. It is no parent of the requests that the command serves.
COMMAND_KEY = create_key("otelflask-command")
#: The key of the path at which dispatchers of this process have mounted the app.
MOUNT_KEY = "otelflask.mount"

#: Methods that may appear in metric attributes and span names (semantic conventions, ``http.request.method``).
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
#: The maximum number of characters of a path or query string that are kept.
MAX_URL_PART_LENGTH = 2_048

_PROTOCOLS = {"HTTP/1.0": "1.0", "HTTP/1.1": "1.1", "HTTP/2": "2", "HTTP/2.0": "2", "HTTP/3": "3", "HTTP/3.0": "3"}
#: Only these: a proxy's header must not create metric series.
_SCHEMES = frozenset({"http", "https", "ws", "wss"})
_NUMBER = re.compile(r"\d{1,18}\Z", re.A)
_EMPTY_CONTEXT = Context()
#: Shared, and never written to.
_NOTHING: dict[Any, Any] = {}

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
    #: Sizes and counts of the request, and the user. Known at its end.
    details: dict[str, Any] = _NOTHING
    #: What requests on similar connections have in common: scheme, server, protocol, user agent.
    connection: dict[str, Any] = _NOTHING


_NO_ATTRIBUTES = RequestAttributes()


class Connection(Protocol):
    """What a request has become that the server goes on with after its answer: a WebSocket."""

    def ended(self, error: BaseException | None) -> None:
        """Called when the app has returned, with the exception that ended its function."""


# Slots: Python reads them faster than defaults on the class, and its dicts of attributes are large above 30.
@dataclass(slots=True, eq=False, repr=False)
class RequestRecord:
    """One request. Observers read it and add to it.

    ``instrumentation.http.middleware`` creates it, and closes it exactly once.

    Attributes:
        environ: The WSGI environ. Its values come from an untrusted client, and are cut here.
        started_at, ended_at: Epoch nanoseconds.
        started_perf_ns: The start by `clock.perf_counter_ns`.
        duration: Seconds.
        request_size: Bytes of the request's body; None if unknown.
        response_size: Bytes of the response's body so far.
        status: The HTTP status; 0 while there is none.
        unhandled: Whether the exception reached `Flask.handle_exception` or the server, or ended a stream.
        broken: Whether an exception was raised while the server read the response's body.
    """

    environ: dict[str, Any]
    started_at: int
    started_perf_ns: int
    method: str = field(init=False)
    scheme: str = field(init=False)
    host: str = field(init=False)
    protocol: str | None = field(init=False)
    user_agent: str = field(init=False)
    path: str = field(init=False)
    query_string: str = field(init=False)
    client: str = field(init=False)
    request_id: str = ""
    span: Span = INVALID_SPAN
    #: Of the span.
    span_context: SpanContext = INVALID_SPAN_CONTEXT
    context: Context = field(init=False)
    attributes: RequestAttributes = _NO_ATTRIBUTES
    user_id: str | None = None
    route: str | None = None
    status: int = 0
    request_size: int | None = None
    response_size: int = 0
    #: The response's Content-Length; None where it has none.
    content_length: int | None = None
    response_headers: Sequence[tuple[str, str]] = ()
    error: BaseException | None = None
    #: The exception that an extension has passed on by Flask's signal, as one that Flask would not have handled.
    signalled: BaseException | None = None
    #: ``error.type``: the type of the exception that ended the request, else the status as text; None without a
    #: failure. Set at the end.
    error_type: str | None = None
    #: Code and message of the `AppError` that the app has raised as its answer.
    app_error: tuple[str | int, str] | None = None
    #: Whether a span of this process is around its own.
    has_outer_span: bool = False
    unhandled: bool = False
    broken: bool = False
    #: Whether the server has got a piece of the response's body.
    has_begun: bool = False
    #: The number of SQL statements, and their total time in nanoseconds.
    statement_count: int = 0
    statement_time_ns: int = 0
    #: The id of the stored profile of this request; empty if there is none.
    profile_id: str = ""
    #: sentry-sdk's scopes of this request; None where reports are off.
    scopes: Any = None
    states: dict[PerRequest[Any], Any] = field(init=False)
    #: Observers of this one request. They are called at its end, before those of the app.
    own_observers: tuple[Any, ...] = ()
    #: What the request has become by its answer; None for other requests.
    connection: Connection | None = None
    duration: float = 0.0
    ended_at: int = 0
    closed: bool = False
    #: Whether its signals are made, or waiting for it.
    is_handed_over: bool = False
    #: Closes the record before the app returns. The middleware sets it.
    close: Callable[[RequestRecord], None] = field(init=False)

    def __post_init__(self) -> None:
        get = self.environ.get
        method = get("REQUEST_METHOD", "")
        self.method = method if method in KNOWN_METHODS else "_OTHER"
        scheme = get("wsgi.url_scheme", "http")
        self.scheme = scheme if scheme in _SCHEMES else "_OTHER"
        self.host = (get("HTTP_HOST") or get("SERVER_NAME") or "")[:255]
        self.protocol = _PROTOCOLS.get(get("SERVER_PROTOCOL", ""))
        self.user_agent = (get("HTTP_USER_AGENT") or "")[:512]
        path = (get("SCRIPT_NAME") or "") + (get("PATH_INFO") or "/")
        self.path = path[:MAX_URL_PART_LENGTH] if path.isascii() else _decoded(path[:MAX_URL_PART_LENGTH])
        self.query_string = (get("QUERY_STRING") or "")[:MAX_URL_PART_LENGTH]
        # An app's own middleware for proxies may set REMOTE_ADDR to None.
        self.client = (get("REMOTE_ADDR") or "")[:64]
        self.context = _EMPTY_CONTEXT
        self.states = _NOTHING

    @property
    def sampled(self) -> bool:
        """Whether its span is sampled."""
        return bool(self.span_context.trace_flags & 1)

    @property
    def method_original(self) -> str:
        """The method as the client sent it, cut. Needed where `method` is ``_OTHER``."""
        return str(self.environ.get("REQUEST_METHOD"))[:64]

    def stop(self, ended_perf_ns: int) -> None:
        """Set duration, end, status (500 where there is none), error type and request size.

        Args:
            ended_perf_ns: The end by `clock.perf_counter_ns`. A monotonic clock, so the end is
                never before the start.
        """
        elapsed = ended_perf_ns - self.started_perf_ns
        self.duration = elapsed / 1e9
        self.ended_at = self.started_at + elapsed
        if not self.status:
            # The app returned without calling start_response, so the server got no response.
            self.status = 500
        if self.status >= 500 or self.broken:
            self.error_type = self._error_type()
        length = self.environ.get("CONTENT_LENGTH")
        if length and _NUMBER.match(length):
            self.request_size = int(length)

    def fail(self) -> None:
        """Set the outcome of an exception that reaches the server.

        It sends the status with the first piece of the body (PEP 3333). Before that it answers by itself, whatever the
        app has announced.
        """
        if self.has_begun:
            self.broken = True
        else:
            self.status = 500

    def release(self) -> None:
        """Drop large objects, and the environ and the context, which refer back to this record."""
        self.environ = {}
        self.context = _EMPTY_CONTEXT
        self.states = _NOTHING
        self.own_observers = ()
        self.error = self.signalled = None
        self.scopes = None

    def _error_type(self) -> str:
        # An HTTPException of Werkzeug counts as its status. Test the class, because an instance's `__getattr__` is the
        # app's code.
        if self.error is not None and not hasattr(type(self.error), "get_response"):
            error_type = type(self.error)
            name = error_type.__qualname__
            return name if error_type.__module__ == "builtins" else f"{error_type.__module__}.{name}"
        return str(self.status)


class PerRequest(Generic[T]):
    """Data that one observer keeps for each request.

    Args:
        factory: Creates the data of a request on first use.
    """

    __slots__ = ("_factory",)

    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory

    def get_or_create(self, record: RequestRecord) -> T:
        """The data of a request. It is created on first use."""
        states = record.states
        found = states.get(self)
        if found is None:
            if states is _NOTHING:
                # A thread that the request has started may do the same meanwhile.
                states = record.states = record.environ.setdefault(_STATES_KEY, {})
            found = states.setdefault(self, self._factory())
        return found  # type: ignore[no-any-return]

    def get(self, record: RequestRecord) -> T | None:
        """The data of a request; None where none was created."""
        return record.states.get(self)


def _decoded(path: str) -> str:
    """A WSGI path as text. WSGI carries its bytes as Latin-1 (PEP 3333)."""
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


def route_of(environ: dict[str, Any]) -> str | None:
    """``http.route``: where a dispatcher has mounted the app, and the rule that Flask matched; None without a match."""
    request = environ.get("werkzeug.request")
    rule = getattr(request, "url_rule", None)
    if rule is None:
        return None
    mount = environ.get(MOUNT_KEY)
    return rule.rule if mount is None else f"{mount}{rule.rule}"
