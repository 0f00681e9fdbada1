"""sentry-sdk as the engine that captures: scopes, breadcrumbs, source lines and local variables, `before_send`.

It needs no server: our transport hands its events to `sink`. Where a
``SENTRY_DSN`` is set, or the app has initialised sentry-sdk itself, events go
there as well.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sentry_sdk
from opentelemetry import trace as trace_api
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration
from sentry_sdk.scope import Scope, register_external_propagation_context, use_isolation_scope, use_scope
from sentry_sdk.transport import HttpTransport, Transport

from otelflask._internal import guard
from otelflask._internal.compat.sentry import fingerprint_of, unsent_events
from otelflask._internal.error_reports.sentry_copies import writes_into_copies
from otelflask._internal.error_reports.sentry_exceptions import exception_values
from otelflask._internal.exceptions.walk import Walk
from otelflask._internal.settings import Settings

Event = dict[str, Any]
Sink = Callable[[Event, BaseException | None], None]
Trail = Callable[[], list[Event]]
#: The isolation scope and the current scope of a request.
Scopes = tuple[Scope, Scope]

MAX_BREADCRUMBS = 30

_state = threading.local()
_sink: Sink | None = None
_trail: Trail = list


class ReportTransport(Transport):
    """Hands a client's events to the sink; sends its envelopes on by `inner`, where there is one."""

    def __init__(self, inner: Transport | None = None) -> None:
        super().__init__({})
        self.inner = inner
        _transports.add(self)

    def capture_envelope(self, envelope: Envelope) -> None:
        """One envelope of sentry-sdk's, with an event or with what is only for Sentry."""
        event = envelope.get_event()
        if event is not None:
            self._take(dict(event))
        if self.inner is not None:
            self.inner.capture_envelope(envelope)

    @guard.guarded("taking an event of sentry-sdk")
    def _take(self, event: Event) -> None:
        # Not kept: it holds frames, and what is in them.
        error, _state.error = getattr(_state, "error", None), None
        built = getattr(_state, "built", None)
        if built is not None:
            built.append(event)
        elif _sink is not None:
            _sink(event, error)

    def flush(self, timeout: float, callback: Any = None) -> None:
        """Send what the inner transport holds."""
        if self.inner is not None:
            self.inner.flush(timeout, callback)

    def kill(self) -> None:
        """End the inner transport."""
        if self.inner is not None:
            self.inner.kill()

    def record_lost_event(self, *args: Any, **kwargs: Any) -> None:
        """Sentry's count of what it lost."""
        if self.inner is not None:
            self.inner.record_lost_event(*args, **kwargs)


#: One a client: what one of several was given goes to its own Sentry.
_transports: weakref.WeakSet[ReportTransport] = weakref.WeakSet()


def start(settings: Settings, sink: Sink, trail: Trail) -> None:
    """Let sentry-sdk's events go to `sink`, from now on; a later call replaces the sink.

    `trail` gives the log lines of the current request, which become breadcrumbs of an event when there is one:
    sentry-sdk's own logging integration formats each line's stack for it.
    """
    global _sink, _trail
    if _sink is None:
        sentry_sdk.scope.add_global_event_processor(_complete)
        register_external_propagation_context(_current_span)
    _sink, _trail = sink, trail
    if not sentry_sdk.get_client().is_active():
        _initialise(settings)
    attach()


def attach() -> None:
    """Stand before the transport of sentry-sdk's client, also where the app has made a new one meanwhile."""
    client = sentry_sdk.get_client()
    if _sink is not None and client.is_active() and not isinstance(client.transport, ReportTransport):
        # The app's own: everything it has set stays.
        client.transport = ReportTransport(client.transport)
        writes_into_copies(client.options)


def _initialise(settings: Settings) -> None:
    transport = ReportTransport()
    dsn = os.environ.get("SENTRY_DSN") or None
    sentry_sdk.init(
        dsn=dsn,
        transport=transport,
        # Without one, sentry-sdk would ask git.
        release=settings.service_version or (None if dsn else "unversioned"),
        environment=settings.environment or None,
        default_integrations=False,
        integrations=[ExcepthookIntegration(), ThreadingIntegration()],
        # OpenTelemetry does the tracing: no headers of Sentry's on outgoing requests.
        trace_propagation_targets=[],
        max_breadcrumbs=MAX_BREADCRUMBS,
    )
    options = sentry_sdk.get_client().options
    if dsn is not None:
        transport.inner = HttpTransport(options)
    writes_into_copies(options)


def _current_span() -> tuple[str, str] | None:
    context = trace_api.get_current_span().get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None


def _complete(event: Any, hint: Any) -> Any:
    """Add the request's log lines; keep the exception for the transport, which gets the event only, in this call."""
    # An event that the app has made itself is the app's: a scrubber is about to write into it.
    event = dict(event)
    exc_info = hint.get("exc_info")
    _state.error = exc_info[1] if exc_info else None
    lines = getattr(_state, "trail", None) or _trail()
    if lines:
        breadcrumbs = [*((event.get("breadcrumbs") or {}).get("values") or ()), *lines]
        breadcrumbs.sort(key=lambda item: str(item.get("timestamp")))
        event["breadcrumbs"] = {"values": breadcrumbs[-MAX_BREADCRUMBS:]}
    return event


def event_of(walk: Walk, handled: bool, scopes: Scopes | None, trail: list[Event]) -> Event | None:
    """sentry-sdk's event of an exception, with the scopes' user, tags and breadcrumbs.

    None where the user's `before_send` does not want it.
    """
    options = sentry_sdk.get_client().options
    # Only a real Sentry shows the frames of libraries.
    whole = getattr(sentry_sdk.get_client().transport, "inner", None) is not None
    error = walk.error
    values = exception_values(walk, options, {"type": "flask", "handled": handled}, whole)
    hint = {"exc_info": (type(error), error, error.__traceback__)}
    return _built({"level": "error", "exception": {"values": values}}, hint, scopes, trail)


def event_of_message(message: str, level: str, scopes: Scopes | None, trail: list[Event]) -> Event | None:
    """sentry-sdk's event of a text."""
    return _built({"message": message, "level": level}, {}, scopes, trail)


def _built(event: Any, hint: dict[str, Any], scopes: Scopes | None, trail: list[Event]) -> Event | None:
    attach()
    built: list[Event] = []
    _state.built, _state.trail = built, trail
    try:
        with within(scopes) if scopes is not None else contextlib.nullcontext():
            sentry_sdk.capture_event(event, hint)
    finally:
        _state.built = _state.trail = _state.error = None
    return built[0] if built else None


class RequestScopes(contextlib.AbstractContextManager[Scopes]):
    """Scopes for what the app says of one request. Out: to be given to `within` when it goes on elsewhere."""

    __slots__ = ("_entered",)

    def __enter__(self) -> Scopes:
        attach()
        self._entered = sentry_sdk.isolation_scope()
        return self._entered.__enter__(), sentry_sdk.get_current_scope()

    def __exit__(self, *exc_info: Any) -> None:
        self._entered.__exit__(*exc_info)


@contextlib.contextmanager
def within(scopes: Scopes) -> Iterator[None]:
    """These scopes are the current ones meanwhile."""
    isolation, current = scopes
    with use_isolation_scope(isolation), use_scope(current):
        yield


def fingerprint_of_scopes(scopes: Scopes | None) -> Sequence[str]:
    """The fingerprint that the app has set on a scope (None: the current ones); empty where it has not."""
    isolation, current = scopes or (sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope())
    return fingerprint_of(current) or fingerprint_of(isolation)


class SentryFlush:
    """Sends what waits for a real Sentry when the process ends (a `Sender` of the pipeline's)."""

    _lost = 0

    def flush(self, timeout: float) -> bool:
        """In: seconds. Out: whether nothing waits any more, as far as can be seen."""
        end = time.monotonic() + timeout
        for transport in list(_transports):
            transport.flush(max(0.0, end - time.monotonic()))
        return not self._waiting()

    @staticmethod
    def _waiting() -> int:
        """Events that Sentry has not taken yet, as far as the transports say."""
        return sum(unsent_events(item.inner) for item in list(_transports))

    def begin_close(self, deadline: float) -> None:
        """The transport takes until it is flushed."""

    def join(self, deadline: float) -> bool:
        """In: time.monotonic seconds."""
        return self.flush(max(0.0, deadline - time.monotonic()))

    def give_up(self) -> None:
        """What waits is lost."""
        self._lost = self._waiting()

    def waits_for(self) -> str:
        """What the end of the process waits for, in words."""
        return "Sentry to take events"

    def lost(self) -> dict[tuple[str, str], str]:
        """Events that the end of the process has left."""
        return {("Sentry", "has not taken it in time"): f"events: {self._lost}"} if self._lost else {}

    def after_fork(self) -> None:
        """sentry-sdk starts its worker anew in a child."""
