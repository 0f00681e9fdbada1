"""An exception is read once, however many outputs show it, and up to its limit."""

from __future__ import annotations

import gc
import itertools
import logging
import types
import weakref
from collections import Counter
from typing import Any

import flask
import pytest

import otelflask
from otelflask._internal.error_reports.fingerprint import of_exception
from otelflask._internal.exceptions import walk as walks
from otelflask._internal.exceptions.attributes import MAX_TEXT, _Text, exception_layer
from otelflask._internal.exceptions.walk import MAX_EXCEPTIONS, MAX_FRAMES, MAX_MEMBERS, Walk
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
    # Flask logs it a few frames further out, where its stack is longer.
    assert max(read.values()) <= 2


def test_what_a_failing_request_held_is_free_when_it_is_over(telemetry: CapturedTelemetry) -> None:
    class Held:
        pass

    app = flask.Flask("shop")
    # Otherwise pytest keeps its log record.
    app.logger.propagate = False
    held: list[weakref.ref[Held]] = []

    @app.get("/boom")
    def boom() -> str:
        big = Held()
        held.append(weakref.ref(big))
        raise KeyError("cause")

    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    app.test_client().get("/boom")
    gc.collect()
    # The records still exist, as in an export queue.
    assert telemetry.logs
    assert held[0]() is None


def test_an_error_outside_of_requests_is_read_once(telemetry: CapturedTelemetry, read: Counter[str]) -> None:
    otelflask.init(flask.Flask("shop"), runtime_metrics=False, **telemetry.providers)
    try:
        raise KeyError("outside")
    except KeyError:
        logging.getLogger("job").exception("it failed")
    names = [record.event_name for record in telemetry.logs]
    assert names == [None, "exception", "otelflask.error_group"]
    assert read == {"'outside'": 1}


def test_a_wide_group_is_read_up_to_a_number_of_members_and_after_its_cause() -> None:
    group = SeveralError(*(ValueError(str(number)) for number in range(1_000)))
    group.__cause__ = KeyError("cause")
    walked = Walk(group)
    assert walked.root.cause is not None
    assert walked.root.member_count == 1_000
    assert len(walked.root.members) == MAX_MEMBERS
    assert len(walked.inner) == MAX_MEMBERS + 1


def test_all_that_an_exception_leads_to_is_read_up_to_a_limit() -> None:
    errors = [ValueError(str(number)) for number in range(1_000)]
    for error, cause in itertools.pairwise(errors):
        error.__cause__ = cause
    assert len(Walk(errors[0]).inner) == MAX_EXCEPTIONS - 1


def _raised(number: int) -> BaseException:
    try:
        try:
            raise KeyError(number)
        except KeyError as error:
            raise ValueError(number) from error
    except ValueError as error:
        return error


def test_how_many_members_a_group_has_does_not_change_what_it_is() -> None:
    found = {of_exception(Walk(SeveralError(*map(_raised, range(count))))) for count in (1, 5, 24, 25, 30, 49, 60, 500)}
    assert len(found) == 1


def test_a_members_cause_that_was_logged_before_is_no_report_of_its_own(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("shop")

    @app.get("/boom")
    def boom() -> str:
        members = [_raised(number) for number in range(49)]
        app.logger.error("before", exc_info=members[40].__cause__)
        raise SeveralError(*members)

    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    app.test_client().get("/boom")
    assert len([record for record in telemetry.logs if record.event_name == "exception"]) == 1


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


def _nested(depth: int) -> BaseException:
    chain: list[BaseException] = [OSError("m" * 8_000) for _ in range(9)]
    for error, cause in itertools.pairwise(chain):
        error.__cause__ = cause
    group: BaseException = ValueError("innermost")
    for _ in range(depth):
        group = SeveralError(group)
        group.__cause__ = chain[0]
    return group


@pytest.mark.parametrize(
    "error",
    [_nested(39), SeveralError(*(_nested(1) for _ in range(50))), SeveralError(*(ValueError("m" * 8_000),) * 50)],
    ids=["deep", "wide", "the same"],
)
def test_the_text_of_groups_is_bounded_while_it_is_made(error: BaseException) -> None:
    # The last one may be shown whole, with its causes.
    assert len(_Text().of(Walk(error).root)) < MAX_TEXT + 12 * 9_000


def test_both_ends_of_a_very_deep_stack_are_kept() -> None:
    walked = Walk(ValueError())
    frames: Any = [types.SimpleNamespace(tb_next=None) for _ in range(MAX_FRAMES + 5_000)]
    for frame, following in itertools.pairwise(frames):
        frame.tb_next = following
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(walks, "trace_of", lambda error: frames[0])
        found = walked.root.frames
    assert len(found) == MAX_FRAMES
    assert (found[0], found[-1]) == (frames[0], frames[-1])


class DetachedList(list[BaseException]):
    """Raises when it is looked at."""

    def __len__(self) -> int:
        raise RuntimeError("detached")

    def __getitem__(self, item: Any) -> Any:
        raise RuntimeError("detached")


class DetachedError(Exception):
    exceptions = DetachedList()


class RaisingError(Exception):
    @property
    def exceptions(self) -> Any:
        logging.getLogger("shop").warning("asked")
        raise LookupError("no members")


class ContextError(Exception):
    @property
    def __context__(self) -> Any:  # type: ignore[override]
        raise LookupError("no context")


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("a",),
        (None, "text", None),
        (DetachedError, DetachedError(), None),
        (RaisingError, RaisingError(), None),
        (ContextError, ContextError(), None),
    ],
    ids=["empty", "short", "no exception", "a list", "a property", "a context"],
)
def test_whatever_comes_with_a_line_the_call_does_not_raise(telemetry: CapturedTelemetry, given: Any) -> None:
    otelflask.init(flask.Flask("shop"), runtime_metrics=False, **telemetry.providers)
    # Handlers that print it would fail, which is not our concern.
    logger = logging.getLogger("shop.odd")
    logger.propagate = False
    logger.handlers = [logging.NullHandler()]
    logger.handle(logger.makeRecord("shop.odd", logging.ERROR, __file__, 1, "line", (), given))
    assert "line" in [record.body for record in telemetry.logs]


@pytest.mark.parametrize("error", [DetachedError(), RaisingError()], ids=["a list", "a property"])
def test_an_odd_exception_that_nobody_handles_is_answered_and_told(
    telemetry: CapturedTelemetry, error: Exception
) -> None:
    app = flask.Flask("shop")

    @app.get("/boom")
    def boom() -> str:
        raise error

    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    assert app.test_client().get("/boom").status_code == 500
    (span,) = telemetry.spans
    assert [event.name for event in span.events] == ["exception"]
    assert "http.server.request" in [record.event_name for record in telemetry.logs]
