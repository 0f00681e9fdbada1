"""Make sentry-sdk's scrubber write into copies, because what an app hands over belongs to the app.

Its scope keeps the dicts of ``set_user``, ``add_breadcrumb`` and the like, an event refers to
them, and the scrubber writes its mark into them. The app would find the mark in its own user.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from sentry_sdk.scrubber import EventScrubber

from otelflask._internal import guard
from otelflask._internal.guard import safe_text

Copy = Callable[[Any], Any]

#: How deep containers are copied for a scrubber that follows them.
MAX_DEPTH = 100


class CopyingScrubber:
    """A wrapper of sentry-sdk's scrubber, or of the app's own. It has the same attributes."""

    _scrubber: Any

    def __init__(self, scrubber: Any) -> None:
        object.__setattr__(self, "_scrubber", scrubber)

    def scrub_event(self, event: dict[str, Any]) -> None:
        """Replace the parts of an event by copies, and scrub the copies."""
        scrubber = self._scrubber
        if type(scrubber) is EventScrubber and not scrubber.recursive:
            _copy_what_is_written_to(event)
        else:
            known: dict[int, tuple[Any, Any]] = {}
            for name, part in event.items():
                event[name] = _deeply(part, known, 0)
        scrubber.scrub_event(event)

    def __getattr__(self, name: str) -> Any:
        if name == "_scrubber" or name.startswith("__"):
            # While the object is copied or unpickled, there is no scrubber yet.
            raise AttributeError(name)
        return getattr(self._scrubber, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._scrubber, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return CopyingScrubber, (self._scrubber,)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._scrubber)


def writes_into_copies(options: dict[str, Any]) -> None:
    """Make a client's scrubber write into copies. A second call changes nothing.

    Args:
        options: The client's options.
    """
    scrubber = options.get("event_scrubber")
    if scrubber is not None and type(scrubber) is not CopyingScrubber:
        options["event_scrubber"] = CopyingScrubber(scrubber)


def _copy_what_is_written_to(event: dict[str, Any]) -> None:
    """Copy what sentry-sdk's scrubber writes to (``EventScrubber.scrub_event``), and the path to it."""
    for name in ("user", "extra"):
        _replace(event, name, _one)
    _replace(event, "request", _one)
    for name in ("headers", "cookies", "data"):
        _replace(event.get("request"), name, _one_or_each)
    _replace(event, "breadcrumbs", _one)
    _replace(event.get("breadcrumbs"), "values", _each_with("data", _one))
    _replace(event, "spans", _each_with("data", _one))
    _replace(event, "stacktrace", _stack)
    for name in ("exception", "threads"):
        _replace(event, name, _one)
        _replace(event.get(name), "values", _each_with("stacktrace", _stack))


def _replace(holder: Any, name: str, how: Copy) -> None:
    if isinstance(holder, dict) and name in holder:
        holder[name] = how(holder[name])


def _one(value: Any) -> Any:
    """A shallow copy of a dict; any other value as it is."""
    if not isinstance(value, dict):
        return value
    if type(value) is dict:
        return dict(value)
    # A subclass stays: it may define how it is shown.
    return guard.attempt(copy.copy, value, on_error=lambda error: safe_text(type(value)))


def _one_or_each(value: Any) -> Any:
    return [_one_or_each(item) for item in value] if isinstance(value, list) else _one(value)


def _each_with(name: str, how: Copy) -> Copy:
    """Copies of the dicts of a list. This part of each is copied too."""

    def copied(values: Any) -> Any:
        if not isinstance(values, list):
            return values
        copies = [_one(item) for item in values]
        for item in copies:
            _replace(item, name, how)
        return copies

    return copied


def _stack(value: Any) -> Any:
    stack = _one(value)
    _replace(stack, "frames", _each_with("vars", _one))
    return stack


def _deeply(value: Any, known: dict[int, tuple[Any, Any]], depth: int) -> Any:
    """Copy containers all the way down. Other values stay the same objects.

    Args:
        value: The value.
        known: The originals and their copies, by id. They are held, so that no id is used twice.
        depth: The depth of the value.
    """
    if not isinstance(value, (dict, list, tuple)) or depth >= MAX_DEPTH:
        return value
    if id(value) in known:
        return known[id(value)][1]
    if hasattr(type(value), "__sentry_repr__"):
        return _one(value)
    if isinstance(value, dict):
        made: Any = _one(value)
        known[id(value)] = (value, made)
        if isinstance(made, dict):
            for name in list(made):
                made[name] = _deeply(made[name], known, depth + 1)
        return made
    copies: list[Any] = []
    known[id(value)] = (value, copies)
    copies.extend(_deeply(item, known, depth + 1) for item in list(value))
    return copies
