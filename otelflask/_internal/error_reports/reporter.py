"""Error reports: each error once, as a log record, with what one needs to understand it.

Within a request everything waits for its end, because only then is the outermost error known.
Outside of a request a report is sent at once.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry import trace as trace_api

from otelflask._internal import clock, guard
from otelflask._internal.current_request import current_record
from otelflask._internal.error_reports import sentry
from otelflask._internal.error_reports.breadcrumbs import current_breadcrumbs, remember
from otelflask._internal.error_reports.builder import ReportBuilder
from otelflask._internal.error_reports.event_attributes import MAX_MESSAGE
from otelflask._internal.error_reports.first_error import first_error
from otelflask._internal.error_reports.occurrences import Occurrence, outermost
from otelflask._internal.exceptions.attributes import exception_type
from otelflask._internal.exceptions.walk import Walk, trace_of, walk
from otelflask._internal.logging_records import Raised, belongs_to, message_of, template_of
from otelflask._internal.observers import RequestObserver
from otelflask._internal.request_record import PerRequest, RequestRecord
from otelflask._internal.settings import Settings

#: The maximum number of occurrences that `logging` and sentry-sdk add to one request. Further ones are only counted.
MAX_PENDING = 50
#: Outside of requests: seconds within which the same exception on the same thread is the same occurrence.
SAME_S = 60.0
#: Outside of requests: seconds within which a message of `logging` and the same one of sentry-sdk are one occurrence.
SAME_MESSAGE_S = 1.0
#: Packages of telemetry.
_PACKAGES = frozenset({"otelflask", "opentelemetry", "sentry_sdk"})
#: The attribute of an exception that holds when, and on which thread, it was reported.
_MARK = "__otelflask_reported__"

#: What a request has met that may become error reports, kept until it ends.
_occurrences: PerRequest[list[Occurrence]] = PerRequest(list)

#: Whether this thread is handling a record (then what is logged is no further occurrence), and its last message.
_handling = threading.local()


def _is_own_logger(name: str) -> bool:
    """Whether a logger belongs to telemetry itself."""
    return belongs_to(name, _PACKAGES)


class Reporter(RequestObserver):
    """Receives errors from requests, `logging` and sentry-sdk, and reports them.

    It initialises sentry-sdk, unless the app has.

    Args:
        logger_provider: The provider with which it is removed again (`capture.uninstall_all`).
        builder: Builds the reports.
        settings: The settings.
    """

    def __init__(self, logger_provider: Any, builder: ReportBuilder, settings: Settings) -> None:
        self.logger_provider = logger_provider
        self._builder = builder
        self._level = getattr(logging, settings.report_level.upper(), logging.CRITICAL + 1)
        sentry.start(settings, builder.scrubber, self._captured, current_breadcrumbs)

    def after_fork(self) -> None:
        self._builder.counts.after_fork()

    def flush(self, deadline: float) -> bool:
        """Emit the counts that were not emitted yet."""
        self._builder.counts.flush()
        return True

    def around(self, record: RequestRecord) -> AbstractContextManager[Any]:
        """sentry-sdk's scopes for one request: its tags, user and breadcrumbs."""
        return sentry.RequestScopes(record)

    def stream_context(self, record: RequestRecord) -> Callable[[], AbstractContextManager[Any]] | None:
        """The same scopes while a stream goes on."""
        scopes = record.scopes
        # The closed record drops the scopes, but the server may go on.
        return functools.partial(sentry.within, scopes) if scopes is not None else None

    def observe(self, record: logging.LogRecord, raised: Raised) -> None:
        """Receive a record of `logging`.

        From INFO on, a record without an exception becomes a breadcrumb. From the report level on, a record
        also becomes an occurrence.
        """
        # A hand-made record may have no name.
        if record.levelno < logging.INFO or _is_own_logger(record.name or "") or getattr(_handling, "active", False):
            return
        request = current_record()
        if record.levelno < self._level and request is None:
            return
        _handling.active = True
        try:
            if request is not None and not request.closed and record.exc_info is None:
                remember(request, record)
            if record.levelno >= self._level:
                walked = raised.walk
                self._observe(record, first_error(walked, request) if walked is not None else None, request)
        finally:
            _handling.active = False

    def _observe(self, record: logging.LogRecord, walked: Walk | None, request: RequestRecord | None) -> None:
        if walked is None and (record.name == "werkzeug" or (record.name == "rq.worker" and hasattr(record, "job_id"))):
            # The development server and RQ's worker log an exception as text. The request or job reports it.
            return
        if request is not None and not request.closed and walked is not None:
            occurrences = _occurrences.get_or_create(request)
            if _is_prepared(occurrences, walked.error):
                # Flask logs each exception without an error handler. The request reports it.
                return
        self._add(
            Occurrence(
                walked,
                True,
                trace_api.get_current_span().get_span_context(),
                level="fatal" if record.levelno >= logging.CRITICAL else "error",
                message=message_of(record)[: 4 * MAX_MESSAGE],
                logger=record.name,
                template=template_of(record),
            ),
            "logging",
        )

    def _captured(self, event: sentry.Event, error: BaseException | None) -> None:
        """Receive an event that the app, or an integration of sentry-sdk, has captured."""
        values = (event.get("exception") or {}).get("values") or [{}]
        handled = bool((values[-1].get("mechanism") or {}).get("handled", True))
        entry = event.get("logentry") or {}
        message = event.get("message") or entry.get("formatted") or entry.get("message") or ""
        self._add(
            Occurrence(
                first_error(walk(error), current_record()) if error is not None and event.get("exception") else None,
                handled,
                trace_api.get_current_span().get_span_context(),
                event,
                guard.safe_text(event.get("level") or "error"),
                guard.safe_text(message)[: 4 * MAX_MESSAGE],
                guard.safe_text(event.get("logger") or ""),
                guard.safe_text(entry.get("message") or message),
            ),
            "sentry-sdk",
        )

    def _add(self, occurrence: Occurrence, source: str) -> None:
        record = current_record()
        if record is None or record.closed:
            self._report_at_once(occurrence, source, record)
            return
        occurrences = _occurrences.get_or_create(record)
        if len(occurrences) >= MAX_PENDING:
            self._builder.only_count(occurrence, record)
            return
        occurrences.append(occurrence)
        if record.closed and _take(occurrences, occurrence):
            # In a thread that the request has started: meanwhile it has ended.
            self._report_at_once(occurrence, source, record)

    def _report_at_once(self, occurrence: Occurrence, source: str, record: RequestRecord | None) -> None:
        if not self._remember_and_check(occurrence, source):
            self._builder.send(self._builder.prepare(occurrence, record, live=True), occurrence, record)

    @staticmethod
    def _remember_and_check(occurrence: Occurrence, source: str) -> bool:
        """Remember this occurrence. Return whether it was just reported on this thread, outside of requests."""
        now, thread = clock.monotonic(), threading.get_ident()
        if occurrence.error is not None:
            marked = getattr(occurrence.error, _MARK, None)
            _mark(occurrence.error)
            return marked is not None and marked[0] == thread and now - marked[1] < SAME_S
        # The same line may come from `logging` and from an integration of sentry-sdk.
        last = getattr(_handling, "last_message", None)
        _handling.last_message = (source, occurrence.logger, occurrence.message, now)
        if (
            last is not None
            and last[0] != source
            and last[1:3] == _handling.last_message[1:3]
            and now - last[3] < SAME_MESSAGE_S
        ):
            _handling.last_message = None
            return True
        return False

    def failed(self, record: RequestRecord, error: Exception) -> None:
        """Read local variables now, before database sessions are rolled back and closed."""
        walked = first_error(walk(error, record.context), record)
        occurrence = Occurrence(walked, not record.unhandled, record.span_context)
        _handling.active = True
        try:
            occurrence.prepared = self._builder.prepare(occurrence, record, live=True)
        finally:
            _handling.active = False
        if record.closed:
            # A WebSocket.
            self._builder.send(occurrence.prepared, occurrence, record)
            _mark(error)
        else:
            _occurrences.get_or_create(record).append(occurrence)

    def closed(self, record: RequestRecord) -> None:
        """Report the request's occurrences, each group of causes once. Count 4xx responses."""
        if record.error is None and record.status < 400 and _occurrences.get(record) is None:
            return
        occurrences = _occurrences.get_or_create(record)
        walked = first_error(walk(record.error, record.context), record) if record.error is not None else None
        if record.error_type is not None and walked is not None and not _is_prepared(occurrences, walked.error):
            # Not after the end of the request, which is longer ago where telemetry is slow.
            span, at = record.span_context, record.ended_at
            # What an extension tells of may also be an answer of its own, such as 409.
            is_handled = not record.unhandled and record.signalled is not record.error
            occurrences.append(Occurrence(walked, is_handled, span, at=at))
        if occurrences:
            # Another thread of the request may add one now. Each is taken once.
            self._report(record, [item for item in list(occurrences) if _take(occurrences, item)])
        if 400 <= record.status < 500 and not record.broken:
            # Counted, not reported.
            error_type = exception_type(record.error) if record.error is not None else str(record.status)
            self._builder.count(error_type, True, record.route, False)

    def _report(self, record: RequestRecord, occurrences: list[Occurrence]) -> None:
        _handling.active = True
        try:
            for occurrence in occurrences:
                walked = occurrence.walk
                if walked is not None and walked.trace is not trace_of(walked.error):
                    # It was logged earlier, and its stack has grown since.
                    occurrence.walk = walk(walked.error, record.context)
            kept, rest = outermost(occurrences)
            for occurrence in rest:
                if occurrence.prepared is not None:
                    self._builder.withdraw(occurrence.prepared)
            for occurrence in kept:
                prepared = occurrence.prepared or self._builder.prepare(occurrence, record, live=False)
                self._builder.send(prepared, occurrence, record)
                if occurrence.walk is not None:
                    # A server may log it once more.
                    _mark(occurrence.walk.error)
        finally:
            _handling.active = False


def _is_prepared(occurrences: list[Occurrence], error: BaseException) -> bool:
    """Whether a report of this exception was prepared in `failed`."""
    for occurrence in occurrences:
        if occurrence.prepared is not None and occurrence.walk is not None and occurrence.walk.error is error:
            return True
    return False


def _take(occurrences: list[Occurrence], wanted: Occurrence) -> bool:
    """Remove an occurrence. Return whether it was still there."""
    try:
        occurrences.remove(wanted)
    except ValueError:
        return False
    return True


def _mark(error: BaseException) -> None:
    try:
        setattr(error, _MARK, (threading.get_ident(), clock.monotonic()))
    except AttributeError:
        # A class that takes no attribute: each time is reported.
        return
