"""The statements of one request, by text and by the line that ran them."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import CodeType
from typing import Any, NamedTuple

from otelflask._internal.app_code import is_in_app
from otelflask._internal.compat.python import current_frame

#: Frames looked at for the app's own, and texts of one request that are told apart.
_MAX_FRAMES = 150
MAX_TEXTS = 500

#: A line of the app's: code object and line number.
Place = tuple[CodeType, int]


def calling_place() -> Place | None:
    """The innermost line of the app's on the stack; None where there is none."""
    frame = current_frame(1)
    for _ in range(_MAX_FRAMES):
        path = frame.f_code.co_filename
        # Code made at run time has no place that one could open.
        if is_in_app(path) and not path.startswith("<"):
            return frame.f_code, frame.f_lineno
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None


def place_attributes(place: Place | None) -> dict[str, str | int]:
    """``code.*`` attributes (semantic conventions) of a line; empty for None."""
    if place is None:
        return {}
    code, line = place
    return {
        "code.file.path": code.co_filename,
        "code.function.name": getattr(code, "co_qualname", code.co_name),
        "code.line.number": line,
    }


@dataclass
class Repeated:
    """One statement's runs in one request, by the line that caused them. `elapsed` in ns."""

    count: int = 1
    elapsed: int = 0
    #: Line → runs and ns, from the second run on: most statements run once, and a look at the stack costs.
    places: dict[Place | None, list[int]] = field(default_factory=dict)
    #: The relationship of the ORM's that is loaded, where it is one.
    relationship: Any = None


class Repetition(NamedTuple):
    """A statement that one line ran again and again in one request. `elapsed` in ns, of all runs together."""

    statement: str
    runs: int
    elapsed: int
    place: Place | None
    relationship: Any


class QueryStatistics:
    """One request's statements, by their text."""

    __slots__ = ("_texts",)

    def __init__(self) -> None:
        self._texts: dict[str, Repeated] = {}

    def add(self, statement: str, elapsed: int, relationship: Any) -> None:
        """One run. In: its text without literals, ns, and the relationship that is loaded by it."""
        known = self._texts.get(statement)
        if known is None:
            if len(self._texts) < MAX_TEXTS:
                self._texts[statement] = Repeated(elapsed=elapsed, relationship=relationship)
            return
        known.count += 1
        known.elapsed += elapsed
        known.relationship = known.relationship or relationship
        runs = known.places.setdefault(calling_place(), [0, 0])
        runs[0] += 1
        runs[1] += elapsed

    def repeated(self, least: int, least_ns: int) -> list[Repetition]:
        """Statements that ran from one line at least so often and so long together."""
        found = []
        for statement, known in self._texts.items():
            if known.count < least or known.elapsed < least_ns:
                continue
            first = known.elapsed - sum(elapsed for _, elapsed in known.places.values())
            place, (runs, elapsed) = max(known.places.items(), key=lambda item: item[1][0])
            # The first run is the line's that ran it most.
            if runs + 1 >= least and elapsed + first >= least_ns:
                found.append(Repetition(statement, runs + 1, elapsed + first, place, known.relationship))
        return found
