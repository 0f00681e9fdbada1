"""What a signal handler raises goes on to the app, also where it interrupts telemetry."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from otelflask._internal import guard, signal_handlers


class StopRequestedError(Exception):
    """What RQ's worker raises from its handler."""


class _Worker:
    def stop(self, number: int, frame: FrameType | None) -> None:
        self._shut_down()

    def _shut_down(self) -> None:
        raise StopRequestedError


def _stop(number: int, frame: FrameType | None) -> None:
    raise StopRequestedError


def _stop_of_any(*arguments: Any) -> None:
    raise StopRequestedError


@pytest.fixture(params=[_stop, _Worker().stop, _stop_of_any], ids=["function", "method", "any arguments"])
def _handler(request: pytest.FixtureRequest) -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, request.param)
    yield
    signal.signal(signal.SIGUSR1, before)


def _interrupted(*arguments: Any) -> Any:
    signal.raise_signal(signal.SIGUSR1)


class _Manager(contextlib.AbstractContextManager[None]):
    def __exit__(self, *given: Any) -> None:
        _interrupted()


class _Item:
    called = _interrupted
    __str__ = _interrupted


def _block() -> None:
    with guard.log_errors("key", "it failed"):
        _interrupted()


@pytest.mark.usefixtures("_handler")
@pytest.mark.parametrize(
    "call",
    [
        lambda: guard.attempt(_interrupted, on_error=lambda error: None),
        lambda: guard.guarded("working")(_interrupted)(),
        lambda: guard.call_hook("hook", _interrupted),
        lambda: guard.notify_each("telling", [_interrupted], None),
        lambda: guard.call_each([_Item()], "called", None, lambda item, error: None),
        lambda: guard.enter("entering", _interrupted),
        lambda: guard.leave("leaving", _Manager()),
        lambda: guard.safe_text(_Item()),
        _block,
    ],
    ids=["attempt", "guarded", "call_hook", "notify_each", "call_each", "enter", "leave", "safe_text", "log_errors"],
)
def test_no_guard_suppresses_what_a_signal_handler_raises(
    call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTELFLASK_GUARD", "swallow")
    with pytest.raises(StopRequestedError):
        call()


def _with_other_arguments(*arguments: Any) -> None:
    arguments = object()  # type: ignore[assignment]  # noqa: F841
    raise StopRequestedError


def test_a_function_may_give_the_name_of_its_arguments_another_value() -> None:
    with pytest.raises(StopRequestedError) as raised:
        _with_other_arguments(1, 2)
    assert not signal_handlers.has_raised(raised.value)


@pytest.mark.parametrize("arguments", [(), (signal.SIGUSR1,), (15, None), ("15", object())])
def test_other_exceptions_are_of_no_signal_handler(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(StopRequestedError) as raised:
        _stop_of_any(*arguments)
    assert not signal_handlers.has_raised(raised.value)
