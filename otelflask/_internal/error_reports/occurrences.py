"""What of all that was raised, logged and captured in one request is a report: one problem is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import SpanContext

from otelflask._internal.error_reports.fingerprint import Group
from otelflask._internal.exceptions.walk import Walk


@dataclass
class Prepared:
    """What was decided on an occurrence: its group, and the event of sentry-sdk's where it goes out whole."""

    group: Group
    event: dict[str, Any] | None = None


@dataclass
class Occurrence:
    """Something that may become a report.

    `walk` is the exception's, None for a text; `event` is sentry-sdk's, where
    the app captured it itself; `logger`, `template` and `message` are a log
    line's; `span` is where it happened.
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

    @property
    def error(self) -> BaseException | None:
        """The exception; None for a text."""
        return self.walk.error if self.walk is not None else None


def outermost(occurrences: list[Occurrence]) -> tuple[list[Occurrence], list[Occurrence]]:
    """One of each problem, and the rest: of the same exception the app's own capture, of a chain the outermost."""
    if len(occurrences) == 1:
        return occurrences, []
    merged: dict[int, Occurrence] = {}
    texts: dict[tuple[str, str], Occurrence] = {}
    rest: list[Occurrence] = []
    for occurrence in occurrences:
        if occurrence.error is None:
            # The same line may come from `logging` and from an integration of sentry-sdk's.
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
    # Exceptions that are each other's causes have no outermost.
    kept = kept or list(merged.values())[-1:]
    rest += [occurrence for occurrence in merged.values() if occurrence not in kept]
    for occurrence in kept:
        if occurrence.event is not None and occurrence.prepared is not None:
            # What the app has captured itself counts; what was prepared of it does not.
            rest.append(Occurrence(None, True, prepared=occurrence.prepared))
            occurrence.prepared = None
    return kept + list(texts.values()), rest
