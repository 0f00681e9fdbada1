"""What clients see and what arrives equals the recording. `tests/scenarios/recording.py` records again."""

from __future__ import annotations

import difflib
from collections.abc import Callable

import pytest

from tests.scenarios.arrived import Item
from tests.scenarios.recording import RECORDED, path_of, record, written
from tests.scenarios.steps import MODES, of_mode

pytestmark = pytest.mark.slow

NAMES = [(mode, scenario.name) for mode in MODES for scenario in of_mode(mode)]
#: The most lines of a difference that are shown.
MOST_LINES = 120
Recorded = Callable[[str], dict[str, Item]]


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """A new recording, by mode. Each mode runs once."""
    found: dict[str, dict[str, Item]] = {}

    def of(mode: str) -> dict[str, Item]:
        if mode not in found:
            found[mode] = record(mode)
        return found[mode]

    return of


@pytest.mark.parametrize(("mode", "name"), NAMES, ids=[f"{mode}-{name}" for mode, name in NAMES])
def test_what_arrives_is_what_was_recorded(recorded: Recorded, mode: str, name: str) -> None:
    path = path_of(mode, name)
    before, now = path.read_text(), written(recorded(mode)[name])
    if before == now:
        return
    lines = difflib.unified_diff(before.splitlines(), now.splitlines(), str(path.relative_to(RECORDED)), "now", n=4)
    shown = list(lines)
    more = [f"… and {len(shown) - MOST_LINES} lines more"] if len(shown) > MOST_LINES else []
    pytest.fail("\n".join([f"{name} ({mode}) is not as it was", *shown[:MOST_LINES], *more]), pytrace=False)


def test_each_scenario_has_a_file_and_each_file_a_scenario() -> None:
    files = {str(path.relative_to(RECORDED)) for path in RECORDED.rglob("*.json")}
    assert files == {f"{mode}/{name}.json" for mode, name in NAMES}


def test_no_name_is_given_twice() -> None:
    assert len(NAMES) == len(set(NAMES))
