"""sentry-sdk as the engine that captures: scopes, breadcrumbs, source, local variables, `before_send`.

It needs no server: our transport hands its events to `sink`. With a ``SENTRY_DSN``, or where the
app has initialised sentry-sdk itself, events go there as well.
"""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sentry_sdk
from opentelemetry import trace as trace_api
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration
from sentry_sdk.scope import Scope, register_external_propagation_context
from sentry_sdk.transport import HttpTransport, Transport
from sentry_sdk.utils import BadDsn, Dsn

from otelflask._internal import guard
from otelflask._internal.compat.sentry import enter_scopes, fingerprint_of, leave_scopes, unsent_events, use_scopes
from otelflask._internal.error_reports.sentry_copies import writes_into_copies
from otelflask._internal.error_reports.sentry_exceptions import exception_values
from otelflask._internal.error_reports.sentry_masking import mask
from otelflask._internal.exceptions.walk import Walk
from otelflask._internal.redaction import Scrubber
from otelflask._internal.request_record import RequestRecord
from otelflask._internal.settings import SettingError, Settings

Event = dict[str, Any]
Sink = Callable[[Event, BaseException | None], None]
BreadcrumbSource = Callable[[], list[Event]]
#: The isolation scope and the current scope of a request.
Scopes = tuple[Scope, Scope]

MAX_BREADCRUMBS = 30
#: Seconds between two looks at what waits for a real Sentry.
BRIEF_S = 0.01

_state = threading.local()
_sink: Sink | None = None
_breadcrumb_source: BreadcrumbSource = list
_scrubber = Scrubber()


class ReportTransport(Transport):
    """Hands a client's events to the sink, and its envelopes to `inner`, where there is one."""

    def __init__(self, inner: Transport | None = None) -> None:
        super().__init__({})
        self.inner = inner
        _transports.add(self)

    def capture_envelope(self, envelope: Envelope) -> None:
        """Take one envelope of sentry-sdk: an event, or what only Sentry wants."""
        event = envelope.get_event()
        if event is not None:
            self._take(dict(event))
        if self.inner is not None:
            guard.attempt(self._pass_on, envelope, on_error=_not_sent)

    def _pass_on(self, envelope: Envelope) -> None:
        mask(envelope, _scrubber)
        if self.inner is not None:
            self.inner.capture_envelope(envelope)

    @guard.guarded("reading an event of sentry-sdk")
    def _take(self, event: Event) -> None:
        # Not kept, because it holds frames and their variables.
        error, _state.error = getattr(_state, "error", None), None
        built = getattr(_state, "built", None)
        if built is not None:
            built.append(event)
        elif _sink is not None:
            _sink(event, error)

    def flush(self, timeout: float, callback: Any = None) -> None:
        """Flush the inner transport."""
        if self.inner is not None:
            self.inner.flush(timeout, callback)

    def kill(self) -> None:
        """End the inner transport."""
        if self.inner is not None:
            self.inner.kill()

    def record_lost_event(self, *args: Any, **kwargs: Any) -> None:
        """Pass Sentry's count of lost events on."""
        if self.inner is not None:
            self.inner.record_lost_event(*args, **kwargs)


def _not_sent(error: Exception) -> None:
    guard.log("sentry", "an event cannot be sent to Sentry", exc_info=error)


#: One a client. Each one's events go to its own Sentry.
_transports: weakref.WeakSet[ReportTransport] = weakref.WeakSet()


def start(settings: Settings, scrubber: Scrubber, sink: Sink, breadcrumbs: BreadcrumbSource) -> None:
    """Send sentry-sdk's events to `sink` from now on. A later call replaces the sink.

    Args:
        settings: The settings. A DSN in them that cannot be used is a SettingError.
        scrubber: Masks what goes to a real Sentry.
        sink: Takes the events.
        breadcrumbs: Returns the log lines of the current request. An event takes them as
            breadcrumbs: sentry-sdk's own logging integration would format each line's stack.
    """
    global _sink, _breadcrumb_source, _scrubber
    if _sink is None:
        sentry_sdk.scope.add_global_event_processor(_complete)
        register_external_propagation_context(_current_span)
    _sink, _breadcrumb_source, _scrubber = sink, breadcrumbs, scrubber
    if not sentry_sdk.get_client().is_active():
        _initialise(settings)
    attach()


def attach() -> None:
    """Put our transport in front of the client's, also where the app has made a new client meanwhile."""
    client = sentry_sdk.get_client()
    if _sink is not None and client.is_active() and not isinstance(client.transport, ReportTransport):
        # The app's own client keeps its options.
        client.transport = ReportTransport(client.transport)
        writes_into_copies(client.options)


def _initialise(settings: Settings) -> None:
    transport = ReportTransport()
    dsn = settings.sentry_dsn or None
    try:
        if dsn is not None:
            Dsn(dsn)
    except BadDsn as error:
        raise SettingError(
            f"sentry_dsn (SENTRY_DSN) cannot be used ({error}); allowed is a DSN such as https://KEY@sentry.example/1"
        ) from None
    with warnings.catch_warnings():
        # otelflask has no threads where uWSGI forks.
        warnings.filterwarnings("ignore", "IMPORTANT: We detected the use of uWSGI")
        sentry_sdk.init(
            dsn=dsn,
            transport=transport,
            # Without a release, sentry-sdk would run git.
            release=settings.service_version or (None if dsn else "unversioned"),
            environment=settings.environment or None,
            default_integrations=False,
            integrations=[ExcepthookIntegration(), ThreadingIntegration()],
            # Ctrl+C is no error.
            ignore_errors=[KeyboardInterrupt],
            # OpenTelemetry does the tracing: no headers of Sentry on outgoing requests.
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
    """Add the request's log lines, and keep the exception for the transport, which gets only the event."""
    # An event that the app made is the app's: a scrubber is about to write into it.
    event = dict(event)
    exc_info = hint.get("exc_info")
    _state.error = exc_info[1] if exc_info else None
    lines = getattr(_state, "breadcrumbs", None) or _breadcrumb_source()
    if lines:
        breadcrumbs = [*((event.get("breadcrumbs") or {}).get("values") or ()), *lines]
        breadcrumbs.sort(key=lambda item: str(item.get("timestamp")))
        event["breadcrumbs"] = {"values": breadcrumbs[-MAX_BREADCRUMBS:]}
    return event


def event_of(walk: Walk, handled: bool, scopes: Scopes | None, breadcrumbs: list[Event]) -> Event | None:
    """sentry-sdk's event of an exception, with the scopes' user, tags and breadcrumbs.

    None where the user's `before_send` drops it.
    """
    options = sentry_sdk.get_client().options
    # Only a real Sentry shows frames of libraries.
    whole = getattr(sentry_sdk.get_client().transport, "inner", None) is not None
    error = walk.error
    values = exception_values(walk, options, {"type": "flask", "handled": handled}, whole)
    hint = {"exc_info": (type(error), error, error.__traceback__)}
    return _built({"level": "error", "exception": {"values": values}}, hint, scopes, breadcrumbs)


def event_of_message(message: str, level: str, scopes: Scopes | None, breadcrumbs: list[Event]) -> Event | None:
    """sentry-sdk's event of a message."""
    return _built({"message": message, "level": level}, {}, scopes, breadcrumbs)


def _built(event: Any, hint: dict[str, Any], scopes: Scopes | None, breadcrumbs: list[Event]) -> Event | None:
    attach()
    built: list[Event] = []
    _state.built, _state.breadcrumbs = built, breadcrumbs
    try:
        with within(scopes) if scopes is not None else contextlib.nullcontext():
            sentry_sdk.capture_event(event, hint)
    finally:
        _state.built = _state.breadcrumbs = _state.error = None
    return built[0] if built else None


class RequestScopes:
    """Enters scopes for one request, which are made on first use, and keeps them on its record.

    Its reports, and its stream after the record is closed, need them (`within`).
    """

    __slots__ = ("_record", "_tokens")

    def __init__(self, record: RequestRecord) -> None:
        self._record = record

    def __enter__(self) -> RequestScopes:
        # The app may have made a new client meanwhile. What it captures asks for the scopes first.
        self._record.scopes, self._tokens = enter_scopes(attach)
        return self

    def __exit__(self, *exc_info: object) -> None:
        leave_scopes(self._tokens)


@contextlib.contextmanager
def within(scopes: Scopes) -> Iterator[None]:
    """Make these scopes the current ones during a block."""
    tokens = use_scopes(*scopes)
    try:
        yield
    finally:
        leave_scopes(tokens)


def fingerprint_of_scopes(scopes: Scopes | None) -> Sequence[str]:
    """The fingerprint that the app has set on a scope (None: the current scopes); empty where there is none."""
    isolation, current = scopes or (sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope())
    return fingerprint_of(current) or fingerprint_of(isolation)


class SentryFlush:
    """Sends what waits for a real Sentry when the process ends. A `Sender` of the pipeline."""

    _lost = 0

    def flush(self, timeout: float) -> bool:
        """Flush all clients.

        Args:
            timeout: Seconds.

        Returns:
            Whether nothing waits any more, as far as the transports show.
        """
        end = time.monotonic() + timeout
        for transport in list(_transports):
            transport.flush(max(0.0, end - time.monotonic()))
        return not self._waiting()

    @staticmethod
    def _waiting() -> int:
        """The number of events that Sentry has not accepted yet, as far as the transports show."""
        return sum(unsent_events(item.inner) for item in list(_transports))

    def begin_close(self, deadline: float) -> None:
        """Have the transports queue their reports of lost events too. They take events until the end."""
        self.flush(BRIEF_S)

    def join(self, deadline: float) -> bool:
        """Wait until `deadline` (time.monotonic seconds) for what the transports send by themselves."""
        while self._waiting() and time.monotonic() < deadline:
            time.sleep(BRIEF_S)
        return not self._waiting()

    def give_up(self) -> None:
        """Count what still waits as lost."""
        self._lost = self._waiting()

    def waits_for(self) -> str:
        """What the end of the process waits for, in words."""
        return "Sentry to take events"

    def lost(self) -> dict[tuple[str, str], str]:
        """The events that were not sent before the process ended."""
        return {("Sentry", "did not accept it in time"): f"events: {self._lost}"} if self._lost else {}

    def after_fork(self) -> None:
        """Do nothing: sentry-sdk restarts its worker in a child."""
