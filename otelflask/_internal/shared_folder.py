"""A folder in which the processes of one machine share files.

It may lie in the temporary directory, where everybody can write. So only regular files of this
user are read, no link is followed, nothing that blocks is opened, and reads are bounded.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from otelflask._internal.settings import SettingError, Settings

#: The most bytes that are read from a file.
MAX_BYTES = 16 * 2**20
#: Seconds after which an unfinished file of a killed process is removed.
ABANDONED_S = 60.0
#: The suffix of a file that is still being written.
_UNFINISHED = ".new"
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def service_key(service: str) -> str:
    """A part of a file name that the workers of one service have in common."""
    return hashlib.blake2b(service.encode(), digest_size=8).hexdigest()


class SharedFolder:
    """One folder. It is made when something is written.

    Args:
        path: Its path.
        within: The folder that holds it, where that is ours too.
        setting: The setting that names it, for messages.
    """

    def __init__(
        self, path: str | os.PathLike[str], within: SharedFolder | None = None, setting: str = "state_dir"
    ) -> None:
        self.path = os.fspath(path)
        self._within = within
        self._setting = setting

    @classmethod
    def of(cls, settings: Settings) -> SharedFolder:
        """The folder of the settings: `state_dir`, else one of this user in the temporary directory."""
        return cls(settings.state_dir or os.path.join(tempfile.gettempdir(), f"otelflask-{_user()}"))

    def below(self, name: str) -> SharedFolder:
        """A folder in this folder."""
        return SharedFolder(self.path_of(name), self)

    def path_of(self, name: str) -> str:
        """The path of a file."""
        return os.path.join(self.path, name)

    def check(self) -> None:
        """Make the folder if it does not exist.

        Raises:
            SettingError: It cannot be made, or other users could change it.
        """
        if self._within is not None:
            self._within.check()
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            # Without following: a link at this path may belong to another user.
            found = os.lstat(self.path)
            writable = os.access(self.path, os.W_OK | os.X_OK)
        except OSError as error:
            raise SettingError(
                f"{self._setting} is {self.path!r}, which cannot be made ({error.strerror}); allowed is a folder that "
                "this process can write"
            ) from None
        if not stat.S_ISDIR(found.st_mode) or not writable or _is_others(found):
            raise SettingError(
                f"{self._setting} is {self.path!r}; allowed is a folder that belongs to this user, that it can write "
                "and nobody else"
            )

    def make(self, name: str) -> str:
        """Make a file that only this user can use, if it does not exist.

        Returns:
            Its path.

        Raises:
            OSError: Something else has this path.
            SettingError: See `check`.
        """
        self.check()
        path = self.path_of(name)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _SAFELY, 0o600)
        try:
            if not _is_own(os.fstat(descriptor)):
                raise PermissionError(f"{path} belongs to somebody else")
        finally:
            os.close(descriptor)
        return path

    def write(self, name: str, data: bytes) -> None:
        """Write a file in one step, so that nobody reads half of it.

        Raises:
            OSError: It cannot be written.
            SettingError: See `check`.
        """
        self.check()
        unfinished = self.path_of(f"{name}.{os.getpid()}{_UNFINISHED}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(unfinished, self.path_of(name))

    def read(self, name: str) -> bytes | None:
        """Read a file.

        Returns:
            Its bytes; None where this user has no such file, or where it is too large to be ours.

        Raises:
            OSError: It cannot be read.
        """
        try:
            descriptor = os.open(self.path_of(name), os.O_RDONLY | _SAFELY)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                # A link.
                return None
            raise
        found = os.fstat(descriptor)
        if not _is_own(found) or found.st_size > MAX_BYTES:
            os.close(descriptor)
            return None
        with open(descriptor, "rb") as file:
            return file.read()

    def names(self, prefix: str = "") -> list[str]:
        """The names of the finished files. Files that were abandoned unfinished are removed."""
        found = []
        try:
            entries = os.listdir(self.path)
        except OSError:
            # The folder does not exist yet, or belongs to another user.
            return []
        for name in entries:
            if not name.startswith(prefix):
                continue
            if not name.endswith(_UNFINISHED):
                found.append(name)
            elif 0.0 < self.changed(name) < time.time() - ABANDONED_S:
                with contextlib.suppress(OSError):
                    self.remove(name)
        return found

    def changed(self, name: str) -> float:
        """When a file of this user was last written, in epoch seconds; 0 where there is none."""
        try:
            found = os.lstat(self.path_of(name))
        except OSError:
            return 0.0
        return found.st_mtime if _is_own(found) else 0.0

    def remove(self, *names: str) -> None:
        """Remove files. Missing ones are ignored."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path_of(name))

    def hold(self, name: str) -> IO[bytes]:
        """Hold a locked file that shows that this process lives. The kernel drops the lock at any kind of exit.

        Returns:
            The open file. Keep it.

        Raises:
            OSError: It cannot be made.
            SettingError: See `check`.
        """
        import fcntl  # Not on Windows.

        # It gets its name when it is locked. Before that, others would take it for a dead process's file.
        path = self.make(f"{name}{_UNFINISHED}")
        file = open(path, "wb")  # noqa: SIM115
        fcntl.flock(file, fcntl.LOCK_EX)
        os.rename(path, self.path_of(name))
        return file

    def is_held(self, name: str) -> bool:
        """Whether the process that holds this file lives."""
        import fcntl

        try:
            descriptor = os.open(self.path_of(name), os.O_RDONLY | _SAFELY)
        except FileNotFoundError:
            return False
        with open(descriptor, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextmanager
    def locked(self, timeout: float) -> Iterator[None]:
        """Exclude all other processes during a block.

        Args:
            timeout: Seconds to wait.

        Raises:
            TimeoutError: Another process held the lock for longer.
            OSError: See `make`.
        """
        import fcntl

        with open(self.make("lock"), "wb") as file:
            end = time.monotonic() + timeout
            while True:
                try:
                    # Polled, not waited for: a wait would block all greenlets of gevent's hub.
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise TimeoutError("another process takes too long") from None
                    time.sleep(0.01)
            yield


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _is_own(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and (not hasattr(os, "getuid") or found.st_uid == _user())


def _is_others(found: os.stat_result) -> bool:
    """Whether other users could change what this describes."""
    return hasattr(os, "getuid") and (found.st_uid != _user() or bool(found.st_mode & 0o022))
