"""The folder in which the processes of one machine share what they have to agree on."""

from __future__ import annotations

import os
import stat
import tempfile

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


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _is_others(found: os.stat_result, user: int) -> bool:
    return found.st_uid != user or bool(found.st_mode & 0o022)
