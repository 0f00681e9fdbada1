"""Each problem of a request is reported once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import sentry_sdk


def test_logged_captured_and_raised_is_one_report(run: Callable[..., list[Any]]) -> None:
    def view() -> None:
        try:
            raise LookupError("no 2 lamps")
        except LookupError as error:
            logging.getLogger("shop").exception("cannot count")
            sentry_sdk.capture_exception(error)
            raise

    (report,) = run(view)
    assert report.attributes["otelflask.error.handled"] is False


def test_logged_then_wrapped_and_raised_is_the_outer_ones_report(run: Callable[..., list[Any]]) -> None:
    def view() -> None:
        try:
            raise LookupError("no 2 lamps")
        except LookupError as error:
            logging.getLogger("shop").exception("cannot count")
            raise RuntimeError("the order failed") from error

    (report,) = run(view)
    assert report.attributes["exception.type"] == "RuntimeError"
    assert "LookupError: no 2 lamps" in report.attributes["exception.stacktrace"]


def test_the_same_exception_object_in_two_requests_is_two_reports(run: Callable[..., list[Any]]) -> None:
    error = RuntimeError("kept by a future")

    def fails() -> None:
        raise error

    assert len(run(fails, times=2)) == 2


def test_exceptions_that_cause_each_other_are_one_report(run: Callable[..., list[Any]]) -> None:
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one

    def view() -> None:
        sentry_sdk.capture_exception(other)
        raise one

    assert len(run(view)) == 1
