"""Statistics of one request's statements, by text and by the line that ran them."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import CodeType
from typing import Any, NamedTuple

from otelflask._internal.app_code import is_in_app
from otelflask._internal.compat.python import current_frame
from otelflask._internal.compat.sqlalchemy import relationship_of

#: The most frames that are searched for the app's own, and the most texts of one request.
_MAX_FRAMES = 150
MAX_TEXTS = 500

#: A line of the app: code object and line number.
Location = tuple[CodeType, int]


def caller_location() -> Location | None:
    """The innermost line of the app on the stack; None where there is none."""
    frame = current_frame(1)
    for _ in range(_MAX_FRAMES):
        path = frame.f_code.co_filename
        # Code made at run time has no file that one could open.
        if is_in_app(path) and not path.startswith("<"):
            return frame.f_code, frame.f_lineno
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None


def location_attributes(location: Location | None) -> dict[str, str | int]:
    """The ``code.*`` attributes (semantic conventions) of a line; empty for None."""
    if location is None:
        return {}
    code, line = location
    return {
        "code.file.path": code.co_filename,
        "code.function.name": getattr(code, "co_qualname", code.co_name),
        "code.line.number": line,
    }


@dataclass
class Repeated:
    """One statement's runs in one request, by the line that caused them. `elapsed` is in nanoseconds."""

    count: int = 1
    elapsed: int = 0
    #: Line → runs and nanoseconds, from the second run on: most statements run once, and reading the stack costs.
    locations: dict[Location | None, list[int]] = field(default_factory=dict)
    #: The relationship that the ORM loads by this statement, if any.
    relationship: Any = None


class Repetition(NamedTuple):
    """A statement that one line ran repeatedly in one request. `elapsed` is in nanoseconds, for all runs."""

    statement: str
    runs: int
    elapsed: int
    location: Location | None
    relationship: Any


class QueryStatistics:
    """One request's statements, by text."""

    __slots__ = ("_texts",)

    def __init__(self) -> None:
        #: The nanoseconds of a statement that has run once: most do.
        self._texts: dict[str, int | Repeated] = {}

    def add(self, statement: str, elapsed: int, execution: Any) -> None:
        """Count one run.

        Args:
            statement: The text without literals.
            elapsed: Nanoseconds.
            execution: SQLAlchemy's execution context, or None.
        """
        known = self._texts.get(statement)
        if known is None:
            if len(self._texts) < MAX_TEXTS:
                self._texts[statement] = elapsed
            return
        if type(known) is int:
            known = self._texts[statement] = Repeated(elapsed=known)
        assert isinstance(known, Repeated)
        known.count += 1
        known.elapsed += elapsed
        if known.relationship is None:
            known.relationship = relationship_of(execution)
        runs = known.locations.setdefault(caller_location(), [0, 0])
        runs[0] += 1
        runs[1] += elapsed

    def repeated(self, least: int) -> list[Repetition]:
        """The statements that one line ran at least `least` times."""
        found = []
        for statement, known in list(self._texts.items()):
            if isinstance(known, int) or known.count < least:
                continue
            first = known.elapsed - sum(elapsed for _, elapsed in list(known.locations.values()))
            location, (runs, elapsed) = max(list(known.locations.items()), key=lambda item: item[1][0])
            # The first run belongs to the line with the most runs.
            if runs + 1 >= least:
                found.append(Repetition(statement, runs + 1, elapsed + first, location, known.relationship))
        return found
