"""The base class of everything that must act on a fork or a flush."""

from __future__ import annotations


class Component:
    """One component of a process's telemetry. Each method does nothing by default."""

    def after_fork(self) -> None:
        """Drop the parent's threads, locks, counts and connections in a forked child."""

    def flush(self, deadline: float) -> bool:
        """Report or send what waits.

        Args:
            deadline: Time.monotonic seconds.

        Returns:
            Whether everything was tried in time.
        """
        return True
