"""Profiles that are kept: a bounded folder that the workers of a machine share."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable
from typing import Any

from pyinstrument.renderers import ConsoleRenderer, HTMLRenderer, SpeedscopeRenderer
from pyinstrument.session import Session

from otelflask.pipeline.state import check_folder
from otelflask.settings import SettingError

#: A profile's id: nothing that could be a path.
ID = re.compile(r"[0-9a-f]{32}")
SUFFIX = ".profile.json"

#: Format → how it is made of a session, and its content type.
FORMATS: dict[str, tuple[Callable[[], Any], str]] = {
    "html": (HTMLRenderer, "text/html; charset=utf-8"),
    "text": (lambda: ConsoleRenderer(unicode=True, color=False), "text/plain; charset=utf-8"),
    "speedscope": (SpeedscopeRenderer, "application/json"),
}


def rendered(session: Session, form: str) -> tuple[bytes, str]:
    """A profile to look at. In: one of `FORMATS`. Out: the page, and its content type."""
    renderer, content_type = FORMATS[form]
    return renderer().render(session).encode(), content_type


class ProfileStore:
    """Keeps the newest profiles. In: a folder that belongs to this user alone, made when needed; how many."""

    def __init__(self, folder: str, count: int) -> None:
        self._base = folder
        self._folder = os.path.join(folder, "profiles")
        self._count = count

    def keep(self, session: Session, name: str) -> None:
        """Keep it by this id, and let the oldest go. Raises OSError and SettingError where it cannot be written."""
        check_folder(self._base)
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        path = os.path.join(self._folder, name + SUFFIX)
        with open(f"{path}.new", "w") as file:
            json.dump(session.to_json(), file)
        os.replace(f"{path}.new", path)
        self._forget()

    def find(self, name: str) -> Session | None:
        """The profile of this id; None where there is none (any more), or where it is no id."""
        if not ID.fullmatch(name):
            return None
        try:
            check_folder(self._base)
            session: Session = Session.load(os.path.join(self._folder, name + SUFFIX))
        except (OSError, SettingError, ValueError, KeyError, TypeError):
            # Not there, somebody else's, or of another version.
            return None
        return session

    def _forget(self) -> None:
        kept = []
        for entry in os.scandir(self._folder):
            with contextlib.suppress(FileNotFoundError):
                kept.append((entry.stat().st_mtime, entry.path))
        kept.sort(reverse=True)
        for written, path in kept[self._count :]:
            # One that another worker is writing is not old.
            if not path.endswith(".new") or time.time() - written > 60:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
