"""The folder in which the processes of one machine share what they have to agree on."""

from __future__ import annotations

import os
import stat
import tempfile

import psutil

from otelflask.settings import SettingError, Settings


def state_path(settings: Settings) -> str:
    """The folder's path, whether it is there or not."""
    return settings.state_dir or os.path.join(tempfile.gettempdir(), f"otelflask-{_user()}")


def state_folder(settings: Settings) -> str:
    """The folder's path; made if it is not there. Raises SettingError as `check_folder` does."""
    folder = state_path(settings)
    check_folder(folder)
    return folder


def check_folder(folder: str) -> None:
    """Make the folder if it is not there.

    Raises SettingError for one that cannot be made, or that others than this
    user could change: the temporary directory is everybody's.
    """
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        # Not followed: a link at this place may be another user's.
        owner = os.lstat(folder)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise SettingError(
            f"state_dir is {folder!r}, which cannot be made ({error.strerror}); allowed is a folder that this process "
            "can write"
        ) from None
    if not stat.S_ISDIR(owner.st_mode) or not writable or (hasattr(os, "getuid") and _is_others(owner, _user())):
        raise SettingError(
            f"state_dir is {folder!r}; allowed is a folder that belongs to this user, that it can write and nobody else"
        )


def server_id() -> str:
    """What the workers of one server have in common, and those of another, or of the same anew, have not.

    Workers are forked by one process, and so have its command line; a server
    that a shell or a supervisor started has one of its own.
    """
    own = psutil.Process()
    server = own
    try:
        parent = own.parent()
        if parent is not None:
            command = parent.cmdline()
            # With setproctitle gunicorn's master and workers have titles instead.
            if command == own.cmdline() or " ".join(command).startswith("gunicorn: master"):
                server = parent
    except psutil.Error:
        # As where this is the first process of a container.
        pass
    return f"{server.pid}-{_started(server)}"


def is_gone(server: str) -> bool:
    """Whether the server that has this `server_id` has ended, as far as this process can see."""
    pid, _, started = server.partition("-")
    try:
        return _started(psutil.Process(int(pid))) != started
    except (psutil.Error, ValueError):
        return True


def _started(process: psutil.Process) -> str:
    """When it began, in what the kernel counts: a clock that is set does not change it."""
    try:
        with open(f"/proc/{process.pid}/stat") as file:
            # The name, in parentheses, may hold anything.
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return str(int(process.create_time() * 100))


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _is_others(found: os.stat_result, user: int) -> bool:
    return found.st_uid != user or bool(found.st_mode & 0o022)
