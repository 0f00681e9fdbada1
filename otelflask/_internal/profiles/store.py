"""Stored profiles: a bounded folder that the workers of a machine share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from pyinstrument.renderers import ConsoleRenderer, HTMLRenderer, SpeedscopeRenderer
from pyinstrument.session import Session

from otelflask._internal.settings import SettingError
from otelflask._internal.shared_folder import SharedFolder

#: A profile's id. It can never be a path.
ID = re.compile(r"[0-9a-f]{32}")
SUFFIX = ".profile.json"

#: Format → renderer and content type.
FORMATS: dict[str, tuple[Callable[[], Any], str]] = {
    "html": (HTMLRenderer, "text/html; charset=utf-8"),
    "text": (lambda: ConsoleRenderer(unicode=True, color=False), "text/plain; charset=utf-8"),
    "speedscope": (SpeedscopeRenderer, "application/json"),
}


def rendered(session: Session, form: str) -> tuple[bytes, str]:
    """Render a profile in one of `FORMATS`.

    Returns:
        The page and its content type.
    """
    renderer, content_type = FORMATS[form]
    return renderer().render(session).encode(), content_type


class ProfileStore:
    """Stores the newest profiles.

    Args:
        folder: A folder that only this user can use. It is made when needed.
        count: How many profiles are kept.
    """

    def __init__(self, folder: SharedFolder, count: int) -> None:
        self._folder = folder.below("profiles")
        self._count = count

    def keep(self, session: Session, name: str) -> None:
        """Store a profile under an id, and remove the oldest.

        Raises:
            OSError: It cannot be written.
            SettingError: The folder cannot be used.
        """
        self._folder.write(name + SUFFIX, json.dumps(session.to_json()).encode())
        names = sorted(self._folder.names(), key=self._folder.changed, reverse=True)
        self._folder.remove(*names[self._count :])

    def find(self, name: str) -> Session | None:
        """The profile of an id; None where there is none, and for invalid ids."""
        if not ID.fullmatch(name):
            return None
        try:
            self._folder.check()
            data = self._folder.read(name + SUFFIX)
            return Session.from_json(json.loads(data)) if data is not None else None
        except (OSError, SettingError, ValueError, KeyError, TypeError):
            # Another user's file, or one of another version.
            return None
