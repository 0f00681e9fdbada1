"""The number of lines that the docs say an app loses."""

from __future__ import annotations

import re

import pytest

from tests.servers import ROOT
from tests.tutorials.counting import TITLES, code_lines, counts, table


def test_the_docs_have_the_table() -> None:
    assert table() in (ROOT / "docs" / "coming-from.md").read_text(), "run: python -m tests.tutorials.counting"
    # In Chinese, with the same numbers.
    rows = re.findall(r"\| (\d+) \| (\d+) \| (\d+ %) \|", table())
    assert re.findall(r"\| (\d+) \| (\d+) \| (\d+ %) \|", (ROOT / "docs" / "zh" / "coming-from.md").read_text()) == rows


def test_all_apps_together_lose_more_than_four_fifths() -> None:
    by_hand, ours = (sum(column) for column in zip(*map(counts, TITLES), strict=True))
    assert ours <= 0.2 * by_hand


@pytest.mark.parametrize("name", TITLES)
def test_each_app_loses_at_least_two_thirds(name: str) -> None:
    # A catalogue of errors is data, which stays.
    by_hand, ours = counts(name)
    assert ours <= by_hand / 3


def test_blank_lines_comments_and_docstrings_are_no_code() -> None:
    text = '"""A docstring\nof two lines."""\n\n# A comment.\nx = """text\n\nnot a docstring"""\n'
    assert code_lines(text) == ['x = """text', "", 'not a docstring"""']
