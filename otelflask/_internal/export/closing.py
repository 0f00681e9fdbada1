"""The end of what sends: all at once, no longer than it may take, and not without a word."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from otelflask._internal import guard

#: Seconds after which whoever watches the process end is told what it waits for.
SAY_AFTER_S = 0.5


class Sender(Protocol):
    """What has a thread that sends, such as an `ExportQueue`."""

    def flush(self, timeout: float) -> bool:
        """Send what waits. In: seconds. Out: whether all was tried in time."""
        ...

    def begin_close(self, deadline: float) -> None:
        """Take no more, and try the rest until `deadline` (time.monotonic seconds)."""
        ...

    def join(self, deadline: float) -> bool:
        """Wait for the thread. Out: whether it has ended."""
        ...

    def give_up(self) -> None:
        """Wait no longer: what is left is lost, and counted."""
        ...

    def waits_for(self) -> str:
        """What it is that takes so long, in words."""
        ...

    def lost(self) -> dict[tuple[str, str], str]:
        """What was not sent: receiver and why → how much of what."""
        ...

    def after_fork(self) -> None:
        """Start anew in a child."""
        ...


def close(senders: Sequence[Sender], deadline: float) -> None:
    """End all, by `deadline` (time.monotonic seconds); say what is waited for, and what was not sent."""
    for sender in senders:
        guard.call_hook("end of a sender", sender.begin_close, deadline)
    soon = min(deadline, time.monotonic() + SAY_AFTER_S)
    slow = [sender for sender in senders if guard.call_hook("end of a sender", sender.join, soon) is False]
    left = deadline - time.monotonic()
    if slow and left > 0:
        what = ", ".join(sender.waits_for() for sender in slow)
        # Not held back, whatever was said before: there is no later.
        guard.say(f"closing:{what}", "the process waits for %s, for at most %.1f s (shutdown_timeout)", what, left)
    for sender in slow:
        if guard.call_hook("end of a sender", sender.join, deadline) is False:
            guard.call_hook("end of a sender", sender.give_up)
    lost: dict[tuple[str, str], list[str]] = {}
    for sender in senders:
        for where, what in (guard.call_hook("end of a sender", sender.lost) or {}).items():
            lost.setdefault(where, []).append(what)
    if lost:
        what = "; ".join(f"{server} {why} ({', '.join(parts)})" for (server, why), parts in lost.items())
        guard.say(f"lost:{what}", "telemetry is not sent: %s", what)
