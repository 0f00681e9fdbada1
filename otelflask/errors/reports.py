"""Error reports: what went wrong, once, with what it takes to understand it, as a log record.

Within a request everything waits for its end, because only then is it known
what was the outermost error; outside of one a report leaves at once.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from typing import Any

import sentry_sdk
from opentelemetry import context as context_api
from opentelemetry import trace as trace_api

from otelflask import guard
from otelflask.errors import engine, fingerprint
from otelflask.errors.attributes import MAX_MESSAGE, event_attributes
from otelflask.errors.candidates import Candidate, outermost
from otelflask.errors.emission import Report, emit_count, emit_report
from otelflask.errors.fingerprint import Group
from otelflask.errors.groups import GroupCounts
from otelflask.http.record import RequestRecord, current_record
from otelflask.pipeline.exceptions import exception_layer, exception_type
from otelflask.pipeline.records import message_of
from otelflask.pipeline.redaction import Scrubber
from otelflask.settings import Settings
from otelflask.version import __version__

#: A function of the user's: exception in, parts of its fingerprint out; None for ours.
Fingerprint = Callable[[BaseException], Sequence[str] | None]

#: Most problems of one request that are kept until its end.
MAX_PENDING = 50

#: Whether this thread is at work on a record: logging from within it is no further problem.
_busy = threading.local()


def breadcrumbs(record: RequestRecord | None) -> list[engine.Event]:
    """A request's log lines as sentry-sdk's breadcrumbs."""
    if record is None or record.trail is None:
        return []
    found = []
    for line in list(record.trail):
        moment = datetime.fromtimestamp(line.created, timezone.utc)
        message = message_of(line)[:MAX_MESSAGE]
        level = line.levelname.lower()
        found.append({"timestamp": moment, "level": level, "category": line.name, "message": message, "type": "log"})
    return found


def _trail() -> list[engine.Event]:
    return breadcrumbs(current_record())


def _about_telemetry(name: str) -> bool:
    """Whether a logger speaks of telemetry itself; the demo shop is an app like any other."""
    return name.startswith(("otelflask", "opentelemetry", "sentry_sdk")) and not name.startswith("otelflask.demo")


class Reports:
    """Takes errors from requests, `logging` and sentry-sdk, and emits reports.

    In: providers, settings, the scrubber, and optionally a function that
    names an exception's group, and one that is told of each group: its last
    report, and how many there were since it was told last.
    """

    def __init__(
        self,
        logger_provider: Any,
        meter_provider: Any,
        settings: Settings,
        scrubber: Scrubber,
        group: Fingerprint | None = None,
        tell: Callable[[Report, int], None] | None = None,
    ) -> None:
        self.logger_provider = logger_provider
        self._logger = logger_provider.get_logger("otelflask.errors", __version__)
        self._counter = meter_provider.get_meter("otelflask.errors", __version__).create_counter(
            "otelflask.errors", unit="{error}", description="Errors, by type and route; reported whole or held back."
        )
        self._scrubber = scrubber
        self._group = group
        self._level = getattr(logging, settings.report_level.upper(), logging.CRITICAL + 1)
        self._tell = tell
        self._counts: GroupCounts[Report] = GroupCounts(settings.reports_per_minute, self._say)
        engine.start(settings, self._captured, _trail)

    def after_fork(self) -> None:
        """A child counts for itself."""
        self._counts.after_fork()

    def flush(self) -> None:
        """Say how often each group occurred since it was said last."""
        self._counts.flush()

    def _say(self, last: Report, count: int) -> None:
        emit_count(self._logger, last, count)
        if self._tell is not None:
            self._tell(last, count)

    @staticmethod
    def scope() -> AbstractContextManager[Any]:
        """A scope of sentry-sdk's for one request: its tags, its user, its breadcrumbs."""
        engine.attach()
        return sentry_sdk.isolation_scope()

    def take(self, record: logging.LogRecord) -> None:
        """A record of the `logging` module: a breadcrumb, or a problem at the report level and above."""
        if record.levelno < logging.INFO or _about_telemetry(record.name) or getattr(_busy, "now", False):
            return
        request = current_record()
        if request is not None and record.exc_info is None:
            if request.trail is None:
                request.trail = deque(maxlen=engine.MAX_BREADCRUMBS)
            request.trail.append(record)
        if record.levelno < self._level:
            return
        _busy.now = True
        try:
            self._take(record)
        except Exception:
            guard.failed("reporting a log record")
        finally:
            _busy.now = False

    def _take(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if error is None and record.name == "werkzeug":
            # It tells of a broken stream as text; the request itself reports it.
            return
        self._add(
            Candidate(
                error,
                True,
                trace_api.get_current_span().get_span_context(),
                level="fatal" if record.levelno >= logging.CRITICAL else "error",
                message=message_of(record)[:MAX_MESSAGE],
                logger=record.name,
                template=guard.safe_text(record.msg),
            )
        )

    def _captured(self, event: engine.Event, error: BaseException | None) -> None:
        """An event that the app, or a hook of sentry-sdk's, has captured."""
        values = (event.get("exception") or {}).get("values") or [{}]
        handled = bool((values[-1].get("mechanism") or {}).get("handled", True))
        entry = event.get("logentry") or {}
        message = event.get("message") or entry.get("formatted") or entry.get("message") or ""
        self._add(
            Candidate(
                error if event.get("exception") else None,
                handled,
                trace_api.get_current_span().get_span_context(),
                event,
                guard.safe_text(event.get("level") or "error"),
                guard.safe_text(message)[:MAX_MESSAGE],
                guard.safe_text(event.get("logger") or ""),
                guard.safe_text(entry.get("message") or message),
            )
        )

    def _add(self, candidate: Candidate) -> None:
        record = current_record()
        if record is None or record.closed:
            self._report(candidate, None)
        elif len(record.problems) < MAX_PENDING:
            record.problems.append(candidate)

    def closed(self, record: RequestRecord, error_type: str | None, context: dict[str, Any]) -> None:
        """A request ended. In: its record, its ``error.type`` (None where it did not fail), and its attributes."""
        if error_type is not None and record.error is not None:
            record.problems.append(Candidate(record.error, not record.unhandled, record.span.get_span_context()))
        for candidate in outermost(record.problems):
            self._report(candidate, record, context)

    def _report(
        self, candidate: Candidate, record: RequestRecord | None, context: dict[str, Any] | None = None
    ) -> None:
        error = candidate.error
        group = self._group_of(candidate)
        labels: dict[str, Any] = {
            "error.type": exception_type(error) if error is not None else "message",
            "otelflask.error.handled": candidate.handled,
        }
        if record is not None and record.route is not None:
            labels["http.route"] = record.route
        whole = self._counts.admit(group.fingerprint)
        self._counter.add(1, {**labels, "otelflask.error.reported": whole})
        if not whole:
            return
        event = candidate.event or self._event_of(candidate, record)
        if event is None:
            return
        own: dict[str, Any] = {
            **(context or {}),
            **event_attributes(event, self._scrubber),
            "otelflask.error.handled": candidate.handled,
        }
        request_context = record.context if record is not None else None
        body = candidate.message
        if error is not None:
            layer = exception_layer(error, request_context)
            own.update(layer)
            own["exception.message"] = layer["exception.message"][:MAX_MESSAGE]
            body = f"{layer['exception.type']}: {own['exception.message']}"
        span = candidate.span if candidate.span is not None and candidate.span.is_valid else None
        report = Report(group, candidate.level, body, own, span, request_context)
        emit_report(self._logger, report)
        self._counts.went_out(group.fingerprint, report)

    @staticmethod
    def _event_of(candidate: Candidate, record: RequestRecord | None) -> engine.Event | None:
        """sentry-sdk's event, made as if within the request; None where the app's `before_send` does not want it."""
        scope = record.scope if record is not None else None
        token = context_api.attach(record.context) if record is not None else None
        try:
            if candidate.error is not None:
                return engine.event_of(candidate.error, candidate.handled, scope, breadcrumbs(record))
            return engine.event_of_message(candidate.message, candidate.level, scope, breadcrumbs(record))
        finally:
            if token is not None:
                context_api.detach(token)

    def _group_of(self, candidate: Candidate) -> Group:
        explicit: Sequence[str] = (candidate.event or {}).get("fingerprint") or ()
        if candidate.error is None:
            return fingerprint.of_log(candidate.logger, candidate.template, candidate.message, explicit)
        if not explicit and self._group is not None:
            explicit = guard.call_hook("error_fingerprint", self._group, candidate.error) or ()
        return fingerprint.of_exception(candidate.error, explicit)
