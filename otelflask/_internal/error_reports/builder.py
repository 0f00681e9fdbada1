"""Build reports from occurrences: their group, whether they are reported whole, their attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from sentry_sdk.utils import get_error_message

from otelflask._internal import attribute_names, guard
from otelflask._internal.attribute_layers import Interned
from otelflask._internal.error_reports import fingerprint, sentry
from otelflask._internal.error_reports.breadcrumbs import breadcrumbs
from otelflask._internal.error_reports.event_attributes import MAX_MESSAGE, cut, event_attributes
from otelflask._internal.error_reports.fingerprint import Group
from otelflask._internal.error_reports.group_counts import GroupCounts
from otelflask._internal.error_reports.occurrences import Occurrence, Prepared
from otelflask._internal.error_reports.report import Report, bounded, emit_count, emit_report
from otelflask._internal.exceptions.attributes import attributes_of, exception_type
from otelflask._internal.instrumentation.http.attributes import of_end
from otelflask._internal.redaction import Scrubber
from otelflask._internal.request_record import RequestRecord
from otelflask._internal.sdk.bound_histogram import BoundCounter
from otelflask._internal.settings import Settings
from otelflask._internal.version import __version__

#: A function of the user: returns the parts of an exception's fingerprint, or None for the default.
Fingerprint = Callable[[BaseException], Sequence[str] | None]
#: Called with a group's last report, and with the occurrences since the last call.
Notify = Callable[[Report, int], None]

#: The most groups that are known to be split by the app's `before_send`.
MAX_SPLIT = 1_000
#: The longest message, in characters, that is compared with what `before_send` made of it.
_COMPARED = 20_000


class ReportBuilder:
    """Builds reports, counts them and emits them.

    Args:
        logger_provider: Where reports are emitted.
        meter_provider: Where errors are counted.
        settings: The settings.
        scrubber: Masks secrets.
        group: The user's function for fingerprints.
        notify: Called with counts of groups, for notifications.
    """

    def __init__(
        self,
        logger_provider: Any,
        meter_provider: Any,
        settings: Settings,
        scrubber: Scrubber,
        group: Fingerprint | None,
        notify: Notify | None,
    ) -> None:
        self._logger = logger_provider.get_logger("otelflask.errors", __version__)
        self._counter = meter_provider.get_meter("otelflask.errors", __version__).create_counter(
            "otelflask.errors", unit="{error}", description="Errors, by type and route, and whether they were reported."
        )
        self._bound: Interned[BoundCounter] = Interned(self._bind)
        self.scrubber = scrubber
        self._group = group
        self._notify = notify
        self.counts: GroupCounts[Report] = GroupCounts(settings.reports_per_minute, self._report)
        self._split: set[str] = set()

    def _report(self, last: Report, count: int, at: int) -> None:
        emit_count(self._logger, last, count, at)
        if self._notify is not None:
            self._notify(last, count)

    def count(self, error_type: str, handled: bool, route: str | None, reported: bool) -> None:
        """Count one error on the metric."""
        context = context_api.get_current()
        span = trace_api.get_current_span(context).get_span_context()
        self._bound(error_type, handled, route, reported).record(1, context, bool(span.trace_flags & 1))

    def _bind(self, error_type: str, handled: bool, route: str | None, reported: bool) -> BoundCounter:
        labels: dict[str, Any] = {
            "error.type": error_type,
            attribute_names.ERROR_HANDLED: handled,
            attribute_names.ERROR_REPORTED: reported,
        }
        if route is not None:
            labels["http.route"] = route
        return BoundCounter(self._counter, labels)

    def prepare(self, occurrence: Occurrence, record: RequestRecord | None, live: bool) -> Prepared:
        """Decide about an occurrence, and read what it needs of frames and scopes.

        Args:
            occurrence: The occurrence.
            record: Its request.
            live: Whether the request's scopes and context are the current ones.
        """
        captured = occurrence.event
        group = self._group_of(occurrence, self._explicit(occurrence, record, live))
        splits = group.fingerprint in self._split
        if not splits and not self.counts.admit(group.fingerprint):
            return Prepared(group)
        event = captured or self._event_of(occurrence, record, live)
        if event is None:
            # `before_send` drops it.
            if not splits:
                self.counts.dropped(group.fingerprint)
            return Prepared(group)
        explicit = event.get("fingerprint") if captured is None else None
        of_event = self._group_of(occurrence, explicit) if explicit else group
        if splits or of_event.fingerprint != group.fingerprint:
            if not splits:
                self.counts.dropped(group.fingerprint)
                if len(self._split) < MAX_SPLIT:
                    self._split.add(group.fingerprint)
            group = of_event
            if not self.counts.admit(group.fingerprint):
                return Prepared(group)
        return Prepared(group, event)

    def withdraw(self, prepared: Prepared) -> None:
        """Drop a prepared report, because it is part of another problem."""
        if prepared.event is not None:
            self.counts.dropped(prepared.group.fingerprint)

    def only_count(self, occurrence: Occurrence, record: RequestRecord) -> None:
        """Count an occurrence of a request that has too many for a report."""
        group = self._group_of(occurrence, self._explicit(occurrence, record, True))
        if self.counts.admit(group.fingerprint):
            self.counts.missed(group.fingerprint)
        self.count(_type_of(occurrence), occurrence.handled, record.route, False)

    def send(self, prepared: Prepared, occurrence: Occurrence, record: RequestRecord | None) -> None:
        """Count an occurrence, and emit its report where the group's rate allows it.

        Args:
            prepared: What `prepare` decided.
            occurrence: The occurrence.
            record: Its request.
        """
        route = record.route if record is not None else None
        event = prepared.event
        self.count(_type_of(occurrence), occurrence.handled, route, event is not None)
        if event is None:
            return
        own: dict[str, Any] = {
            **_attributes_of(record),
            **event_attributes(event, self.scrubber),
            attribute_names.ERROR_HANDLED: occurrence.handled,
        }
        # One that has ended has none: a thread that it has started goes on.
        request_context = (record.context or None) if record is not None else None
        body = cut(occurrence.message, MAX_MESSAGE, self.scrubber)
        if occurrence.walk is not None:
            layer = _as_wanted(attributes_of(occurrence.walk), occurrence.walk.error, event)
            whole = layer["exception.message"]
            message = cut(whole, MAX_MESSAGE, self.scrubber)
            own.update(layer, **{"exception.message": message})
            if len(whole) > MAX_MESSAGE:
                # A stack trace ends with the message. A long one would leave no space for frames.
                own["exception.stacktrace"] = layer["exception.stacktrace"].replace(whole, message + "…")
            body = f"{layer['exception.type']}: {message}"
        level = guard.safe_text(event.get("level") or occurrence.level)
        span = occurrence.span if occurrence.span is not None and occurrence.span.is_valid else None
        report = Report(prepared.group, level, body, bounded(own, body), occurrence.at, span, request_context)
        emit_report(self._logger, report)
        # Kept for a minute, without the context, which holds the exception and its frames.
        self.counts.reported(prepared.group.fingerprint, replace(report, context=None))

    @staticmethod
    def _explicit(occurrence: Occurrence, record: RequestRecord | None, live: bool) -> Sequence[str]:
        """The fingerprint that the app gives, as far as it is known without an event."""
        if occurrence.event is not None:
            return occurrence.event.get("fingerprint") or ()
        return sentry.fingerprint_of_scopes(None if live or record is None else record.scopes)

    @staticmethod
    def _event_of(occurrence: Occurrence, record: RequestRecord | None, live: bool) -> sentry.Event | None:
        """sentry-sdk's event, made as if within the request; None where the app's `before_send` drops it."""
        scopes = record.scopes if record is not None and not live else None
        token = context_api.attach(record.context) if record is not None and not live else None
        try:
            if occurrence.walk is not None:
                return sentry.event_of(occurrence.walk, occurrence.handled, scopes, breadcrumbs(record))
            return sentry.event_of_message(occurrence.message, occurrence.level, scopes, breadcrumbs(record))
        finally:
            if token is not None:
                context_api.detach(token)

    def _group_of(self, occurrence: Occurrence, explicit: Sequence[str]) -> Group:
        if occurrence.walk is None:
            return fingerprint.of_log(occurrence.logger, occurrence.template, occurrence.message, explicit)
        if not explicit and self._group is not None:
            explicit = guard.call_hook("hook `error_fingerprint`", self._group, occurrence.walk.error) or ()
        return fingerprint.of_exception(occurrence.walk, explicit)


def _attributes_of(record: RequestRecord | None) -> dict[str, Any]:
    """What a request gives its reports."""
    if record is None:
        return {}
    attributes = of_end(record)
    return {**attributes.request, **attributes.outcome, **attributes.details}


def _type_of(occurrence: Occurrence) -> str:
    return exception_type(occurrence.walk.error) if occurrence.walk is not None else "message"


def _as_wanted(layer: dict[str, Any], error: BaseException, event: sentry.Event) -> dict[str, Any]:
    """The exception's attributes with the message that `before_send` left."""
    values = (event.get("exception") or {}).get("values") or [{}]
    wanted, original = values[-1].get("value"), get_error_message(error)
    if not isinstance(wanted, str) or wanted[:_COMPARED] == original[:_COMPARED]:
        return layer
    message, stack = layer["exception.message"], layer["exception.stacktrace"]
    changed = {
        "exception.message": wanted,
        "exception.stacktrace": stack.replace(message, wanted) if message else stack,
    }
    return {**layer, **changed}
