"""A part of a process's telemetry: what has to happen in a fork, and when everything is sent."""

from __future__ import annotations


class Part:
    """One part of a process's telemetry; each method does nothing unless a part has something to do."""

    def after_fork(self) -> None:
        """A forked child is a process of its own: let go of the parent's threads, locks, counts and connections."""

    def flush(self, deadline: float) -> bool:
        """Say, or send, what waits. In: time.monotonic seconds. Out: whether all was tried in time."""
        return True
