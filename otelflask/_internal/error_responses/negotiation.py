"""Which format a client prefers for an error, by its Accept header."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

#: The longest header, in characters, whose answer is kept, and the most answers.
_MAX_KEPT_LENGTH = 512
_MAX_KEPT = 500


def preferred(accept: str) -> str | None:
    """The format that an Accept header prefers.

    Returns:
        ``json`` or ``html``; None where the header names neither, such as ``*/*``.
    """
    return _known(accept) if len(accept) <= _MAX_KEPT_LENGTH else _preferred(accept)


def _preferred(accept: str) -> str | None:
    return preferred_of(parse_accept_header(accept, MIMEAccept))


def preferred_of(asked: MIMEAccept) -> str | None:
    """The same for media types that are read already."""
    qualities = [(value.partition(";")[0].strip().lower(), quality) for value, quality in asked]
    page = _highest(quality for name, quality in qualities if name == "text/html")
    json = _highest(quality for name, quality in qualities if name == "application/json" or name.endswith("+json"))
    if page is None and json is None:
        return None
    return "json" if page == 0 or (json or 0) > (page or 0) else "html"


_known = functools.lru_cache(_MAX_KEPT)(_preferred)


def _highest(qualities: Iterable[float]) -> float | None:
    return max(qualities, default=None)
