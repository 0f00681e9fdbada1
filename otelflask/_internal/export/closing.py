"""End everything that sends: all at once, in limited time, and with a log line for what takes long or is lost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from otelflask._internal import guard
from otelflask._internal.lifecycle import hurry

#: Seconds of waiting at the end of the process before a log line says what it waits for.
LOG_AFTER_S = 0.5
#: Seconds between two looks whether a signal has brought the end nearer.
LOOK_S = 0.05


class Sender(Protocol):
    """Anything with a thread that sends, such as an `ExportQueue`."""

    def flush(self, timeout: float) -> bool:
        """Send what waits.

        Args:
            timeout: Seconds.

        Returns:
            Whether everything was tried in time.
        """
        ...

    def begin_close(self, deadline: float) -> None:
        """Accept nothing more, and try the rest until `deadline` (time.monotonic seconds)."""
        ...

    def join(self, deadline: float) -> bool:
        """Wait for the thread until `deadline` (time.monotonic seconds). It may be called again.

        Returns:
            Whether it has ended.
        """
        ...

    def give_up(self) -> None:
        """Stop waiting. What is left is lost, and counted."""
        ...

    def waits_for(self) -> str:
        """What takes so long, in words."""
        ...

    def lost(self) -> dict[tuple[str, str], str]:
        """What was not sent: (receiver, reason) → amount, in words."""
        ...

    def after_fork(self) -> None:
        """Start again in a child."""
        ...


def close(senders: Sequence[Sender], deadline: float) -> None:
    """End all senders by `deadline` (time.monotonic seconds), or sooner after a signal, and log what was not sent."""
    for sender in senders:
        guard.call_hook("end of a sender", sender.begin_close, deadline)
    slow = list(senders)
    try:
        slow = _join(slow, min(deadline, time.monotonic() + LOG_AFTER_S))
        left = hurry.soonest(deadline) - time.monotonic()
        if slow and left > 0:
            what = ", ".join(sender.waits_for() for sender in slow)
            # Always logged, because there is no later chance.
            guard.log(f"closing:{what}", "the process waits for %s, for at most %.1f s (shutdown_timeout)", what, left)
        slow = _join(slow, deadline)
    finally:
        # Also where a signal interrupts the wait: gunicorn raises SystemExit in a worker that takes too long.
        for sender in slow:
            guard.call_hook("end of a sender", sender.give_up)
        _log_lost(senders)


def _join(senders: Sequence[Sender], deadline: float) -> list[Sender]:
    """Wait for senders. Returns those that have not ended by `deadline`, or when a signal has left no more time."""
    slow = list(senders)
    while True:
        now, end = time.monotonic(), hurry.soonest(deadline)
        next_look = min(end, now + LOOK_S)
        slow = [sender for sender in slow if guard.call_hook("end of a sender", sender.join, next_look) is False]
        if not slow or now >= end:
            return slow


def _log_lost(senders: Sequence[Sender]) -> None:
    lost: dict[tuple[str, str], list[str]] = {}
    for sender in senders:
        for where, what in (guard.call_hook("end of a sender", sender.lost) or {}).items():
            lost.setdefault(where, []).append(what)
    if lost:
        what = "; ".join(f"{server} {why} ({', '.join(parts)})" for (server, why), parts in lost.items())
        guard.log(f"lost:{what}", "telemetry is not sent: %s", what)
