"""What of all that was raised, logged and captured in one request is a report: one problem is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import SpanContext

from otelflask.pipeline.exceptions import members_of

#: Exceptions followed in a chain.
MAX_CHAIN = 50


@dataclass
class Candidate:
    """Something that may become a report.

    `error` is the exception, None for a text; `event` is sentry-sdk's, where
    the app captured it itself; `logger`, `template` and `message` are a log
    line's; `span` is where it happened.
    """

    error: BaseException | None
    handled: bool
    span: SpanContext | None = None
    event: dict[str, Any] | None = None
    level: str = "error"
    message: str = ""
    logger: str = ""
    template: str = ""


def below(error: BaseException) -> set[int]:
    """Ids of the exceptions that this one was raised because of, or holds: causes, contexts, members of groups."""
    found: set[int] = set()
    queue: list[BaseException | None] = [error]
    while queue and len(found) < MAX_CHAIN:
        current = queue.pop()
        if current is None:
            continue
        for inner in (current.__cause__, current.__context__, *members_of(current, MAX_CHAIN)[0]):
            if inner is not None and inner is not error and id(inner) not in found:
                found.add(id(inner))
                queue.append(inner)
    return found


def outermost(candidates: list[Candidate]) -> list[Candidate]:
    """One of each problem: of the same exception the app's own capture, of a chain the outermost."""
    merged: dict[int, Candidate] = {}
    texts: dict[tuple[str, str], Candidate] = {}
    for candidate in candidates:
        if candidate.error is None:
            # The same line may come from `logging` and from an integration of sentry-sdk's.
            same = texts.setdefault((candidate.logger, candidate.message), candidate)
            same.event = same.event or candidate.event
            continue
        known = merged.get(id(candidate.error))
        if known is None:
            merged[id(candidate.error)] = candidate
            continue
        known.handled = known.handled and candidate.handled
        known.event = known.event or candidate.event
    inner = set().union(*(below(candidate.error) for candidate in merged.values() if candidate.error is not None))
    kept = [candidate for key, candidate in merged.items() if key not in inner]
    # Exceptions that are each other's causes have no outermost.
    return (kept or list(merged.values())[-1:]) + list(texts.values())
