"""What is made of a stack is made once, and is right for each exception that goes through it."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import pytest

from otelflask._internal.error_reports.fingerprint import of_exception
from otelflask._internal.exceptions import stacks
from otelflask._internal.exceptions.attributes import exception_layer
from otelflask._internal.exceptions.stacks import MAX_KNOWN_FRAMES
from otelflask._internal.exceptions.walk import Walk


def _fail(message: str, kind: type[Exception] = ValueError, cause: Exception | None = None, note: str = "") -> None:
    error = kind(message)
    if note and sys.version_info >= (3, 11):
        error.add_note(note)
    raise error from cause


def _elsewhere() -> None:
    raise ValueError("no")


def _deep(depth: int) -> None:
    if not depth:
        raise ValueError("no")
    _deep(depth - 1)


def _hidden(hides: bool) -> None:
    __tracebackhide__ = hides
    _fail("no")


def _raised(function: Any, *args: Any, **kwargs: Any) -> Exception:
    try:
        function(*args, **kwargs)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def _text_of(error: Exception) -> str:
    """Python's own text, without the carets below a line."""
    lines = "".join(traceback.format_exception(error)).splitlines(keepends=True)
    return "".join(line for line in lines if not line.strip() or not set(line.strip()) <= set("^~"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"message": "no"}, {"message": "no"}),
        ({"message": "no"}, {"message": "another"}),
        ({"message": "no"}, {"message": "no", "kind": KeyError}),
        ({"message": "no"}, {"message": "no", "cause": OSError("cause")}),
        ({"message": "no", "cause": OSError("cause")}, {"message": "no"}),
        ({"message": "no"}, {"message": "no", "note": "a note"}),
        ({"message": "no", "note": "a note"}, {"message": "no", "note": "another note"}),
        ({"message": "n" * 1_000}, {"message": "n" * 1_000}),
    ],
)
def test_each_exception_has_its_own_text(first: dict[str, Any], second: dict[str, Any]) -> None:
    for arguments in (first, second, first):
        error = _raised(_fail, **arguments)
        assert exception_layer(error)["exception.stacktrace"] == _text_of(error)


def test_an_exception_that_repeats_has_the_same_attributes_object() -> None:
    layers = [exception_layer(_raised(_fail, "no")) for _ in range(3)]
    assert layers[0] is layers[1] is layers[2]


def test_another_line_of_the_same_function_is_another_stack() -> None:
    def either(first: bool) -> None:
        if first:
            raise ValueError("no")
        raise ValueError("no")

    texts = {exception_layer(_raised(either, first))["exception.stacktrace"] for first in (True, False)}
    assert len(texts) == 2


def test_a_group_is_that_of_its_stack_and_type() -> None:
    groups = [of_exception(Walk(_raised(_fail, text))) for text in ("no", "another")]
    assert groups[0] == groups[1]
    other = of_exception(Walk(_raised(_fail, "no", KeyError)))
    assert other.fingerprint == groups[0].fingerprint
    assert other.title != groups[0].title
    assert of_exception(Walk(_raised(_elsewhere))).fingerprint != groups[0].fingerprint


def test_a_cause_is_part_of_the_group_of_a_known_stack() -> None:
    alone = of_exception(Walk(_raised(_fail, "no")))
    caused = of_exception(Walk(_raised(_fail, "no", cause=_raised(_elsewhere))))
    assert alone.fingerprint != caused.fingerprint
    assert alone == of_exception(Walk(_raised(_fail, "no")))


def test_a_frame_hides_itself_by_its_variable_each_time() -> None:
    shown, hidden, again = (of_exception(Walk(_raised(_hidden, hides))) for hides in (False, True, False))
    assert shown == again != hidden


def test_a_deep_stack_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_stacks", {})
    error = _raised(_deep, MAX_KNOWN_FRAMES)
    assert exception_layer(error)["exception.stacktrace"].endswith("ValueError: no\n")
    assert not stacks._stacks


def test_stacks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_stacks", {})
    for _ in range(stacks._MAX_STACKS + 10):
        # Code that is made anew each time, as Jinja does for the traceback of a template.
        space: dict[str, Any] = {}
        exec("def made(): raise ValueError('no')", space)
        exception_layer(_raised(space["made"]))
    assert 0 < len(stacks._stacks) <= stacks._MAX_STACKS
