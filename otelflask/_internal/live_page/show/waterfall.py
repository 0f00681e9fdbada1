"""A trace as rows: spans as a tree, repeated statements folded, log lines in place, the critical path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

#: Equal statements in a row from which they are folded.
FOLD = 5
#: The depth from which rows are not indented further.
DEEPEST = 12
TICKS = 4
#: The most rows.
MOST = 2_000

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bar:
    """A position in the trace, in % of its duration."""

    x: float
    width: float


@dataclass(slots=True)
class Row:
    """One row. `kind` is ``span``, ``fold`` or ``line``; times are in nanoseconds."""

    kind: str
    item: Item
    depth: int
    bars: list[Bar]
    duration: int = 0
    own: int = 0
    #: The parts of the bar on the critical path.
    critical: list[Bar] = field(default_factory=list)
    #: Events: position in % and name.
    marks: list[tuple[float, str]] = field(default_factory=list)
    #: Whether a span below failed while this one did not.
    failed_below: bool = False
    inner: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class Waterfall:
    """A trace as rows. `start` is in epoch nanoseconds, the other times in nanoseconds."""

    start: int
    duration: int
    rows: list[Row]
    #: The scale, in nanoseconds from the start.
    ticks: list[int]
    #: The number of rows that are left out.
    left_out: int = 0


def waterfall(items: Iterable[Item]) -> Waterfall | None:
    """The rows of a trace, from its spans, log lines and reports; None where there are none."""
    known = list(items)
    spans = sorted((item for item in known if item["is"] == "span"), key=lambda item: (item["start"], -item["end"]))
    lines = [item for item in known if item["is"] == "log"]
    if not known:
        return None
    start = min([span["start"] for span in spans] + [line["time"] for line in lines])
    end = max([span["end"] for span in spans] + [line["time"] for line in lines])
    drawing = _Drawing(start, max(end - start, 1), spans, lines)
    ticks = [drawing.duration * number // TICKS for number in range(TICKS + 1)]
    rows = drawing.rows()
    return Waterfall(start, drawing.duration, rows[:MOST], ticks, max(0, len(rows) - MOST))


class _Drawing:
    def __init__(self, start: int, duration: int, spans: list[Item], lines: list[Item]) -> None:
        self.start = start
        self.duration = duration
        self._spans = {span["span_id"]: span for span in spans}
        self._rooted: set[str] = set()
        self._children: dict[str | None, list[Item]] = defaultdict(list)
        for span in self._spans.values():
            parent = span["parent_id"]
            # A span without its parent is a root.
            self._children[parent if parent in self._spans and not self._is_circle(span) else None].append(span)
        self._lines: dict[str | None, list[Item]] = defaultdict(list)
        for line in lines:
            self._lines[line["span_id"] if line["span_id"] in self._spans else None].append(line)
        self._critical: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for root in self._children.get(None, ()):
            self._mark_critical(root)
        self._failed_below = self._parents_of(span for span in spans if span["failed"])

    def _is_circle(self, span: Item) -> bool:
        """Whether a span is an ancestor of itself: the ids come from senders."""
        way: dict[str, None] = {}
        at: Item | None = span
        while at is not None and at["span_id"] not in self._rooted:
            if at["span_id"] in way:
                return True
            way[at["span_id"]] = None
            at = self._spans.get(at["parent_id"])
        # The whole path leads to a root.
        self._rooted.update(way)
        return False

    def _parents_of(self, spans: Iterable[Item]) -> set[str]:
        found: set[str] = set()
        for span in spans:
            parent = self._spans.get(span["parent_id"])
            while parent is not None and parent["span_id"] not in found:
                found.add(parent["span_id"])
                parent = self._spans.get(parent["parent_id"])
        return found

    def _mark_critical(self, root: Item) -> None:
        """Mark the critical path: from the end backwards, each time the child that ended last.

        A child that ends exactly where the next begins is included: sequential work leaves no gap.
        """
        waiting = [(root, int(root["end"]))]
        while waiting:
            span, at = waiting.pop()
            at = min(at, span["end"])
            for child in sorted(self._children.get(span["span_id"], ()), key=lambda child: -child["end"]):
                ended, began = min(child["end"], span["end"]), max(child["start"], span["start"])
                if ended <= at and began < at:
                    self._critical[span["span_id"]].append((ended, at))
                    waiting.append((child, ended))
                    at = began
            self._critical[span["span_id"]].append((span["start"], at))

    def _bar(self, start: int, end: int) -> Bar:
        first = min(max(start - self.start, 0), self.duration)
        last = min(max(end - self.start, first), self.duration)
        return Bar(100 * first / self.duration, 100 * (last - first) / self.duration)

    def rows(self) -> list[Row]:
        """All rows from the top. An explicit stack, because a trace may be deeper than Python's recursion limit."""
        found: list[Row] = []
        waiting = list(reversed(self._below(None, 0)))
        while waiting:
            row = waiting.pop()
            found.append(row)
            if row.kind == "span":
                waiting += reversed(self._below(row.item["span_id"], row.depth + 1))
        return found

    def _below(self, parent: str | None, depth: int) -> list[Row]:
        """The rows right below a span, by time: spans, folded statements, and lines."""
        depth = min(depth, DEEPEST)
        spans = self._children.get(parent, [])
        rows: list[tuple[int, Row]] = []
        at = 0
        while at < len(spans):
            run = self._run(spans, at)
            if len(run) >= FOLD:
                rows.append((run[0]["start"], self._fold(run, depth)))
            else:
                rows += [(span["start"], self._row(span, depth)) for span in run]
            at += len(run)
        for line in self._lines.get(parent, ()):
            rows.append((line["time"], Row("line", line, depth, [self._bar(line["time"], line["time"])])))
        return [row for _, row in sorted(rows, key=lambda pair: pair[0])]

    def _run(self, spans: list[Item], at: int) -> list[Item]:
        """The run of equal statements that begins here. One that failed, or has children, stands alone."""

        def key(span: Item) -> Any:
            alone = span["failed"] or span["span_id"] in self._children or span["span_id"] in self._lines
            return None if alone else span["attributes"].get("db.query.text")

        end = at + 1
        while end < len(spans) and key(spans[at]) is not None and key(spans[end]) == key(spans[at]):
            end += 1
        return spans[at:end]

    def _row(self, span: Item, depth: int) -> Row:
        return Row(
            "span",
            span,
            depth,
            [self._bar(span["start"], span["end"])],
            span["end"] - span["start"],
            self._own(span),
            [self._bar(*part) for part in self._critical.get(span["span_id"], ()) if part[1] > part[0]],
            [(self._bar(event["time"], event["time"]).x, event["name"]) for event in span["events"]],
            span["span_id"] in self._failed_below and not span["failed"],
        )

    def _fold(self, run: list[Item], depth: int) -> Row:
        inner = [self._row(span, min(depth + 1, DEEPEST)) for span in run]
        return Row(
            "fold",
            run[0],
            depth,
            [row.bars[0] for row in inner],
            sum(row.duration for row in inner),
            critical=[part for row in inner for part in row.critical],
            inner=inner,
        )

    def _own(self, span: Item) -> int:
        """The time in which no child ran."""
        own, at = 0, span["start"]
        for child in sorted(self._children.get(span["span_id"], ()), key=lambda child: child["start"]):
            own += max(0, min(child["start"], span["end"]) - at)
            at = max(at, min(child["end"], span["end"]))
        return int(own + max(0, span["end"] - at))
