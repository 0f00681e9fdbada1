"""The end of what sends, and what brings it nearer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from otelflask._internal.export.closing import close
from otelflask._internal.lifecycle import hurry


class _Hangs:
    """A sender whose receiver does not answer."""

    def __init__(self) -> None:
        self.joined = threading.Event()
        self.is_given_up = False

    def flush(self, timeout: float) -> bool:
        return False

    def begin_close(self, deadline: float) -> None:
        pass

    def join(self, deadline: float) -> bool:
        self.joined.set()
        time.sleep(max(0.0, deadline - time.monotonic()))
        return False

    def give_up(self) -> None:
        self.is_given_up = True

    def waits_for(self) -> str:
        return "nobody"

    def lost(self) -> dict[tuple[str, str], str]:
        return {("nobody", "did not accept it in time"): "spans: 1"} if self.is_given_up else {}

    def after_fork(self) -> None:
        pass


@pytest.fixture
def _forgotten() -> Iterator[None]:
    yield
    hurry.forget()


@pytest.mark.usefixtures("_forgotten")
def test_a_signal_brings_the_end_nearer_and_what_is_left_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    sender = _Hangs()
    closing = threading.Thread(target=close, args=([sender], time.monotonic() + 600))
    closing.start()
    assert sender.joined.wait(60)
    hurry.leave(0.1)
    hurry.leave(600)
    closing.join(60)
    assert not closing.is_alive()
    assert "nobody did not accept it in time (spans: 1)" in caplog.text
