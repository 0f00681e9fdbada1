"""The cost of a stranger's input is proportional to its length. Counted in instructions, not timed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.instructions import count

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "apps" / "costs.py"
KB = 1_024
#: How much more a text of eight times the length may cost. Quadratic cost would be 64.
MOST_GROWTH = 12
#: Instructions of a call with empty input, including the count itself.
BY_ITSELF = 300_000


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, int]:
    return count(SCRIPT, tmp_path_factory.mktemp("costs"))


def test_each_expression_that_reads_a_strangers_text_is_linear(costs: Mapping[str, int]) -> None:
    families = sorted({name.rpartition(" | ")[0] for name in costs})
    assert len(families) > 100
    grows = []
    for family in families:
        counted = [costs[f"{family} | {size * KB}"] for size in (1, 8, 64)]
        for small, large in itertools.pairwise(counted):
            if large > MOST_GROWTH * max(small, BY_ITSELF):
                grows.append(f"{family}: {counted}")
    assert not grows


def test_a_long_text_costs_an_output_no_more_than_what_it_keeps(costs: Mapping[str, int]) -> None:
    for family in ("lines | 'token'", "lines | 'a'", "otlp | 'token'", "otlp | 'a'"):
        assert costs[f"{family} | {64 * KB}"] < MOST_GROWTH * costs[f"{family} | {8 * KB}"] / 2, family
