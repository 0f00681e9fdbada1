"""Which of all the things raised, logged and captured in one request are reported: each problem once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from opentelemetry.trace import SpanContext

from otelflask._internal import clock
from otelflask._internal.error_reports.fingerprint import Group
from otelflask._internal.exceptions.walk import Walk


@dataclass
class Prepared:
    """What was decided early about an occurrence: its group, and sentry-sdk's event where it is reported whole."""

    group: Group
    event: dict[str, Any] | None = None


@dataclass(eq=False)
class Occurrence:
    """Something that may become a report.

    Attributes:
        walk: The walk of the exception; None for a message.
        handled: Whether the app handled it.
        span: Where it happened.
        event: sentry-sdk's event, where the app captured it.
        level, message, logger, template: A log line's.
        prepared: What was decided when no handler took the exception.
    """

    walk: Walk | None
    handled: bool
    span: SpanContext | None = None
    event: dict[str, Any] | None = None
    level: str = "error"
    message: str = ""
    logger: str = ""
    template: str = ""
    prepared: Prepared | None = None
    #: When it happened, or was seen, in epoch nanoseconds.
    at: int = field(default_factory=lambda: clock.time_ns())

    @property
    def error(self) -> BaseException | None:
        """The exception; None for a message."""
        return self.walk.error if self.walk is not None else None


def outermost(occurrences: list[Occurrence]) -> tuple[list[Occurrence], list[Occurrence]]:
    """Keep one occurrence of each problem.

    Of one exception the app's own capture stays, and of a chain its outermost exception.

    Returns:
        The occurrences to report, and the rest.
    """
    if len(occurrences) == 1:
        return occurrences, []
    merged: dict[int, Occurrence] = {}
    texts: dict[tuple[str, str], Occurrence] = {}
    rest: list[Occurrence] = []
    for occurrence in occurrences:
        if occurrence.error is None:
            # `logging` and an integration of sentry-sdk may both hand over the same line.
            same = texts.setdefault((occurrence.logger, occurrence.message), occurrence)
            same.event = same.event or occurrence.event
            continue
        known = merged.setdefault(id(occurrence.error), occurrence)
        if known is occurrence:
            continue
        known.handled = known.handled and occurrence.handled
        known.event = known.event or occurrence.event
        if known.prepared is None:
            known.prepared, occurrence.prepared = occurrence.prepared, None
        rest.append(occurrence)
    inner = set().union(*(occurrence.walk.inner for occurrence in merged.values() if occurrence.walk is not None))
    kept = [occurrence for key, occurrence in merged.items() if key not in inner]
    # Exceptions that cause one another have no outermost one.
    kept = kept or list(merged.values())[-1:]
    rest += [occurrence for occurrence in merged.values() if occurrence not in kept]
    for occurrence in kept:
        if occurrence.event is not None and occurrence.prepared is not None:
            # The app's capture counts, and not what was prepared for the same exception.
            rest.append(Occurrence(None, True, prepared=occurrence.prepared))
            occurrence.prepared = None
    return kept + list(texts.values()), rest
