"""What of all that was raised, logged and captured in one request is a report: one problem is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import SpanContext

from otelflask._internal.error_reports.fingerprint import Group
from otelflask._internal.exceptions.walk import Walk


@dataclass
class Prepared:
    """What was decided on a candidate: its group, and the event of sentry-sdk's where it goes out whole."""

    group: Group
    event: dict[str, Any] | None = None


@dataclass
class Candidate:
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


def outermost(candidates: list[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """One of each problem, and the rest: of the same exception the app's own capture, of a chain the outermost."""
    if len(candidates) == 1:
        return candidates, []
    merged: dict[int, Candidate] = {}
    texts: dict[tuple[str, str], Candidate] = {}
    rest: list[Candidate] = []
    for candidate in candidates:
        if candidate.error is None:
            # The same line may come from `logging` and from an integration of sentry-sdk's.
            same = texts.setdefault((candidate.logger, candidate.message), candidate)
            same.event = same.event or candidate.event
            continue
        known = merged.setdefault(id(candidate.error), candidate)
        if known is candidate:
            continue
        known.handled = known.handled and candidate.handled
        known.event = known.event or candidate.event
        if known.prepared is None:
            known.prepared, candidate.prepared = candidate.prepared, None
        rest.append(candidate)
    inner = set().union(*(candidate.walk.inner for candidate in merged.values() if candidate.walk is not None))
    kept = [candidate for key, candidate in merged.items() if key not in inner]
    # Exceptions that are each other's causes have no outermost.
    kept = kept or list(merged.values())[-1:]
    rest += [candidate for candidate in merged.values() if candidate not in kept]
    for candidate in kept:
        if candidate.event is not None and candidate.prepared is not None:
            # What the app has captured itself counts; what was prepared of it does not.
            rest.append(Candidate(None, True, prepared=candidate.prepared))
            candidate.prepared = None
    return kept + list(texts.values()), rest
