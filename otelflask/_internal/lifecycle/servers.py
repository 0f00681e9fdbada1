"""Which processes are workers of one server, and whether a server still lives."""

from __future__ import annotations

import os
import sys

import psutil

from otelflask._internal.compat import mod_wsgi, uwsgi


def server_id() -> str:
    """An id that the workers of one server share, and that differs from other and restarted servers."""
    try:
        server = psutil.Process(_server_pid())
    except psutil.Error:
        # It has ended.
        server = psutil.Process()
    return f"{server.pid}-{_started(server)}"


def is_worker() -> bool:
    """Whether a server has started this process, and may have others beside it."""
    # The parent of Flask's reloader starts one process at a time.
    return _server_pid() != os.getpid() and "WERKZEUG_RUN_MAIN" not in os.environ


def has_ended(server: str) -> bool:
    """Whether the server with this `server_id` has ended, as far as this process can see."""
    pid, _, started = server.partition("-")
    try:
        return _started(psutil.Process(int(pid))) != started
    except (psutil.Error, ValueError):
        return True


def _server_pid() -> int:
    """The process that has started this one as a worker, or this one."""
    # Not imported where nobody else has: granian, hypercorn and uvicorn start their workers by it.
    # Another thread may be importing it.
    parent_process = getattr(sys.modules.get("multiprocessing.process"), "parent_process", None)
    parent = parent_process() if parent_process is not None else None
    if parent is not None:
        return int(parent.pid)
    if uwsgi.is_running():
        return uwsgi.master_pid() or os.getpid()
    if mod_wsgi.is_running() or _is_forked_by_parent():
        return os.getppid()
    return os.getpid()


def _is_forked_by_parent() -> bool:
    """Whether the parent has the command line of this process. A shell or a supervisor has one of its own."""
    own = psutil.Process()
    try:
        parent = own.parent()
        if parent is None:
            return False
        command = parent.cmdline()
        # With setproctitle, gunicorn's master and workers have titles instead.
        return command == own.cmdline() or " ".join(command).startswith("gunicorn: master")
    except psutil.Error:
        # As in the first process of a container.
        return False


def _started(process: psutil.Process) -> str:
    """When a process began, in the kernel's ticks, which do not change when a clock is set."""
    try:
        with open(f"/proc/{process.pid}/stat") as file:
            # The name, in parentheses, may contain anything.
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return str(int(process.create_time() * 100))
