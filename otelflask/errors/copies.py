"""Lets sentry-sdk's scrubber write into copies: what an app gives it is the app's.

Its scope keeps the dicts that an app hands to ``set_user``, ``add_breadcrumb``
and the like, an event refers to them, and the scrubber puts its mark into
them. The app would find it in its own user.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otelflask.guard import safe_text

#: How deep containers are copied: sentry-sdk sends less.
MAX_DEPTH = 20
_TOO_DEEP = "[too deep]"


class CopyingScrubber:
    """Stands in front of sentry-sdk's scrubber, or the app's own."""

    def __init__(self, scrubber: Any) -> None:
        self._scrubber = scrubber

    def scrub_event(self, event: dict[str, Any]) -> None:
        """In: the event, whose parts are replaced by copies without what the scrubber knows as secrets."""
        for name, part in event.items():
            event[name] = _copied(part, {}, 0)
        self._scrubber.scrub_event(event)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scrubber, name)


def _copied(value: Any, known: dict[int, Any], depth: int) -> Any:
    """The value with containers of its own; what is in them stays. In: copies by the id of what they are of."""
    is_mapping = isinstance(value, Mapping)
    if not is_mapping and not isinstance(value, (list, tuple)):
        return value
    if id(value) in known:
        return known[id(value)]
    if depth >= MAX_DEPTH:
        return _TOO_DEEP
    copy: Any = {} if is_mapping else []
    known[id(value)] = copy
    try:
        if is_mapping:
            for name, item in value.items():
                copy[name] = _copied(item, known, depth + 1)
        else:
            copy.extend(_copied(item, known, depth + 1) for item in value)
    except Exception:
        # A container of the app's that cannot be read.
        return safe_text(type(value))
    return copy


def writes_into_copies(options: dict[str, Any]) -> None:
    """Let the scrubber of a client write into copies. In: the client's options; a second call changes nothing."""
    scrubber = options.get("event_scrubber")
    if scrubber is not None and not isinstance(scrubber, CopyingScrubber):
        options["event_scrubber"] = CopyingScrubber(scrubber)
