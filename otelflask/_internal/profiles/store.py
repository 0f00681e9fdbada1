"""Stored profiles: a bounded folder that the workers of a machine share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from pyinstrument.renderers import ConsoleRenderer, HTMLRenderer, SpeedscopeRenderer
from pyinstrument.session import Session

from otelflask._internal.settings import SettingError
from otelflask._internal.shared_folder import SharedFolder

#: A profile's id. It can never be a path.
ID = re.compile(r"[0-9a-f]{32}")
SUFFIX = ".profile.json"
#: What a list of profiles shows, apart from the profile itself, which may have megabytes.
ABOUT_SUFFIX = ".about"

#: Format → renderer and content type.
FORMATS: dict[str, tuple[Callable[[], Any], str]] = {
    "html": (HTMLRenderer, "text/html; charset=utf-8"),
    "text": (lambda: ConsoleRenderer(unicode=True, color=False), "text/plain; charset=utf-8"),
    "speedscope": (SpeedscopeRenderer, "application/json"),
}

#: The page is sandboxed, so it has no storage. pyinstrument's script would end at its first look at it.
_NO_STORAGE = (
    "<script>Object.defineProperty(window, 'localStorage', "
    "{value: {getItem: () => null, setItem: () => {}, removeItem: () => {}}});</script>"
)

#: The page would ask another host for a font.
_FONTS = re.compile(r"https://fonts\.[^\"]*")


class StoredProfile(NamedTuple):
    """A profile in the list.

    Attributes:
        name: Its id.
        request: The request's method and route.
        at: Its start in epoch seconds.
        duration: Seconds.
    """

    name: str
    request: str
    at: float
    duration: float


def rendered(session: Session, form: str) -> tuple[bytes, str]:
    """Render a profile in one of `FORMATS`.

    Returns:
        The page and its content type.
    """
    renderer, content_type = FORMATS[form]
    text = renderer().render(session)
    if form == "html":
        text = _FONTS.sub("data:text/css,", text.replace("<head>", f"<head>{_NO_STORAGE}", 1))
    return text.encode(), content_type


class ProfileStore:
    """Stores the newest profiles.

    Args:
        folder: A folder that only this user can use. It is made when needed. It may hold other files.
        count: How many profiles are kept.
    """

    def __init__(self, folder: SharedFolder, count: int) -> None:
        self._folder = folder
        self._count = count

    def keep(self, session: Session, name: str, request: str) -> None:
        """Store a profile under an id, and remove the oldest.

        Args:
            session: The profile.
            name: The id.
            request: The request's method and route.

        Raises:
            OSError: It cannot be written.
            SettingError: The folder cannot be used.
        """
        about = {"request": request, "at": session.start_time, "duration": session.duration}
        self._folder.write(name + ABOUT_SUFFIX, json.dumps(about, ensure_ascii=False).encode())
        self._folder.write(name + SUFFIX, json.dumps(session.to_json()).encode())
        for old in self._names()[self._count :]:
            self._folder.remove(old + SUFFIX, old + ABOUT_SUFFIX)

    def _names(self) -> list[str]:
        """The ids, newest first. Other files in the folder are left alone."""
        files = [name for name in self._folder.names() if name.endswith(SUFFIX) and ID.fullmatch(name[: -len(SUFFIX)])]
        files.sort(key=self._folder.changed, reverse=True)
        return [name[: -len(SUFFIX)] for name in files]

    def newest(self) -> list[StoredProfile]:
        """The stored profiles, newest first."""
        return [found for name in self._names() if (found := self._about(name)) is not None]

    def _about(self, name: str) -> StoredProfile | None:
        try:
            about = json.loads(self._folder.read(name + ABOUT_SUFFIX) or b"")
            return StoredProfile(name, str(about["request"]), float(about["at"]), float(about["duration"]))
        except (OSError, ValueError, KeyError, TypeError):
            # Another process has just removed it, or another version wrote it.
            return None

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
