"""Which processes are workers of one server, and whether a server still lives."""

from __future__ import annotations

import psutil


def server_id() -> str:
    """An id that the workers of one server share, and that differs from other and restarted servers.

    Workers are forked by one process, and so they have its command line. A server that a shell or a
    supervisor has started has a command line of its own.
    """
    own = psutil.Process()
    server = own
    try:
        parent = own.parent()
        if parent is not None:
            command = parent.cmdline()
            # With setproctitle, gunicorn's master and workers have titles instead.
            if command == own.cmdline() or " ".join(command).startswith("gunicorn: master"):
                server = parent
    except psutil.Error:
        # As in the first process of a container.
        pass
    return f"{server.pid}-{_started(server)}"


def has_ended(server: str) -> bool:
    """Whether the server with this `server_id` has ended, as far as this process can see."""
    pid, _, started = server.partition("-")
    try:
        return _started(psutil.Process(int(pid))) != started
    except (psutil.Error, ValueError):
        return True


def _started(process: psutil.Process) -> str:
    """When a process began, in the kernel's ticks, which do not change when a clock is set."""
    try:
        with open(f"/proc/{process.pid}/stat") as file:
            # The name, in parentheses, may contain anything.
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return str(int(process.create_time() * 100))
