"""An exception is read once, whatever shows it, and no further than its limit."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import flask
import pytest

import otelflask
from otelflask.pipeline import walk as walks
from otelflask.pipeline.exceptions import exception_layer
from otelflask.pipeline.walk import MAX_EXCEPTIONS, Walk
from otelflask.testing import CapturedTelemetry


class SeveralError(Exception):
    """Holds others, as an ExceptionGroup does."""

    def __init__(self, *exceptions: BaseException) -> None:
        super().__init__("several")
        self.exceptions: Any = exceptions


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the stack of each exception was read, by its text."""
    counts: Counter[str] = Counter()
    original = walks.Node.frames.fget
    assert original is not None

    def frames(node: walks.Node) -> list[Any]:
        if node._frames is None:
            counts[str(node.error)] += 1
        found: list[Any] = original(node)
        return found

    monkeypatch.setattr(walks.Node, "frames", property(frames))
    return counts


def test_a_failing_request_reads_each_stack_once(telemetry: CapturedTelemetry, read: Counter[str]) -> None:
    app = flask.Flask("shop")

    @app.get("/boom")
    def boom() -> str:
        try:
            raise KeyError("cause")
        except KeyError as error:
            raise SeveralError(ValueError("member")) from error

    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    app.test_client().get("/boom")
    # Span event, request log, report and Flask's own log line.
    shown = [record for record in telemetry.logs if "exception.type" in (record.attributes or {})]
    assert len(shown) == 4
    assert len(telemetry.spans[0].events) == 1
    assert set(read) == {"'cause'", "several", "member"}
    # Flask logs it a few frames further out, so that the chain above is another stack by then.
    assert max(read.values()) <= 2


def test_an_error_outside_of_requests_is_read_once(telemetry: CapturedTelemetry, read: Counter[str]) -> None:
    otelflask.init(flask.Flask("shop"), runtime_metrics=False, **telemetry.providers)
    try:
        raise KeyError("outside")
    except KeyError:
        logging.getLogger("job").exception("it failed")
    names = [record.event_name for record in telemetry.logs]
    assert names == [None, "exception", "otelflask.error_group"]
    assert read == {"'outside'": 1}


def test_causes_are_read_before_members_and_all_of_them_within_one_limit() -> None:
    group = SeveralError(*(ValueError(str(number)) for number in range(1_000)))
    group.__cause__ = KeyError("cause")
    walked = Walk(group)
    assert walked.root.cause is not None
    assert walked.root.member_count == 1_000
    assert len(walked.inner) == MAX_EXCEPTIONS - 1


def test_what_is_not_shown_belongs_to_the_exception_too() -> None:
    error, hidden, below = ValueError("shown"), KeyError("hidden"), OSError("below")
    error.__context__, error.__suppress_context__ = hidden, True
    hidden.__context__ = below
    walked = Walk(error)
    assert walked.root.cause is None
    assert walked.inner == {id(hidden), id(below)}


def test_groups_that_hold_one_another_have_a_short_text() -> None:
    groups = [SeveralError() for _ in range(30)]
    for group in groups:
        group.exceptions = tuple(groups)
    assert len(exception_layer(groups[0])["exception.stacktrace"]) < 20_000


def test_causes_that_cause_one_another_end() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    text = exception_layer(one)["exception.stacktrace"]
    assert text.count("ValueError: one") == text.count("ValueError: other") == 1
