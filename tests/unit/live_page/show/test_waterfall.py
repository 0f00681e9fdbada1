"""A trace as rows."""

from __future__ import annotations

from typing import Any

from otelflask._internal.live_page.show.waterfall import Row, waterfall


def _span(name: str, start: int, end: int, parent: str | None = None, sql: str = "", failed: bool = False) -> Any:
    return {
        "is": "span",
        "span_id": name,
        "parent_id": parent,
        "name": name,
        "kind": "client" if sql else "server",
        "start": start,
        "end": end,
        "failed": failed,
        "attributes": {"db.query.text": sql} if sql else {},
        "events": [],
    }


def _line(text: str, time: int, span: str | None) -> Any:
    return {"is": "log", "span_id": span, "time": time, "text": text, "event": ""}


def _rows(*items: Any) -> list[Row]:
    drawing = waterfall(items)
    assert drawing is not None
    return drawing.rows


def _names(rows: list[Row]) -> list[str]:
    return [f"{row.kind} {row.depth} {row.item.get('name', row.item.get('text'))}" for row in rows]


def test_spans_are_a_tree_by_time_and_lines_stand_at_their_moments() -> None:
    rows = _rows(
        _line("said", 30, "a"),
        _span("c", 40, 50, "a"),
        _span("a", 0, 100),
        _span("b", 10, 20, "a"),
        _span("d", 12, 15, "b"),
    )
    assert _names(rows) == ["span 0 a", "span 1 b", "span 2 d", "line 1 said", "span 1 c"]
    assert [(row.bars[0].x, row.bars[0].width) for row in rows] == [(0, 100), (10, 10), (12, 3), (30, 0), (40, 10)]


def test_a_span_that_has_lost_its_parent_is_a_root() -> None:
    assert _names(_rows(_span("a", 0, 9, "gone"), _span("b", 2, 5, "a"))) == ["span 0 a", "span 1 b"]


def test_parents_in_a_circle_are_all_drawn() -> None:
    rows = _rows(_span("a", 0, 9, "b"), _span("b", 1, 8, "a"), _span("c", 2, 3, "c"))
    assert sorted(row.item["name"] for row in rows) == ["a", "b", "c"]


def test_a_trace_deeper_than_pythons_stack_is_drawn() -> None:
    spans = [_span(str(n), n, 10_000 - n, str(n - 1) if n else None) for n in range(1_500)]
    assert len(_rows(*spans)) == 1_500


def test_rows_beyond_what_a_page_can_show_are_counted() -> None:
    drawing = waterfall([_span(str(n), n, n + 1) for n in range(2_345)])
    assert drawing is not None
    assert (len(drawing.rows), drawing.left_out) == (2_000, 345)


def test_five_equal_statements_in_a_row_are_folded_and_four_are_not() -> None:
    five = [_span(f"q{n}", n * 10, n * 10 + 5, "a", "SELECT 1") for n in range(1, 6)]
    folded = _rows(_span("a", 0, 100), *five)
    assert _names(folded) == ["span 0 a", "fold 1 q1"]
    assert (folded[1].duration, len(folded[1].inner), len(folded[1].bars)) == (25, 5, 5)
    assert [row.kind for row in _rows(_span("a", 0, 100), *five[:4])] == ["span"] * 5


def test_a_statement_that_failed_or_of_which_something_is_said_is_never_folded() -> None:
    spans = [_span(f"q{n}", n * 10, n * 10 + 5, "a", "SELECT 1", failed=n == 3) for n in range(1, 9)]
    rows = _rows(_span("a", 0, 100), *spans)
    assert _names(rows) == ["span 0 a", "span 1 q1", "span 1 q2", "span 1 q3", "fold 1 q4"]
    rows = _rows(_span("a", 0, 100), *spans[3:], _line("said", 55, "q5"))
    assert "line 2 said" in _names(rows)


def _critical(rows: list[Row]) -> dict[str, list[tuple[float, float]]]:
    return {row.item["name"]: sorted((part.x, part.width) for part in row.critical) for row in rows}


def test_the_critical_path_is_what_the_end_waited_for() -> None:
    found = _critical(
        _rows(_span("a", 0, 100), _span("b", 10, 40, "a"), _span("long", 20, 80, "a"), _span("short", 30, 50, "a"))
    )
    assert found == {"a": [(0, 20), (80, 20)], "b": [], "long": [(20, 60)], "short": []}


def test_what_runs_one_after_the_other_without_a_gap_is_all_on_it() -> None:
    found = _critical(_rows(_span("a", 0, 100), _span("b", 10, 40, "a"), _span("c", 40, 90, "a")))
    assert found == {"a": [(0, 10), (90, 10)], "b": [(10, 30)], "c": [(40, 50)]}


def test_own_time_is_that_in_which_nothing_below_ran() -> None:
    rows = _rows(_span("a", 0, 100), _span("b", 10, 40, "a"), _span("c", 30, 60, "a"), _span("late", 95, 120, "a"))
    assert rows[0].own == 100 - 50 - 5


def test_above_what_failed_it_is_said() -> None:
    rows = _rows(_span("a", 0, 100), _span("b", 10, 40, "a"), _span("c", 20, 30, "b", failed=True))
    assert [row.failed_below for row in rows] == [True, True, False]


def test_nothing_is_no_drawing() -> None:
    assert waterfall([]) is None
