"""The functions that a profile spent the most time in, short enough for a response's header."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyinstrument.session import Session

HEADER = "X-Profile-Stats"
MAX_FUNCTIONS = 20
#: Characters. Proxies give all headers together 4 or 8 KB.
MAX_LENGTH = 2_000
#: Folders of packages whose functions are left out.
_FRAMEWORK = frozenset({"flask", "werkzeug", "otelflask", "opentelemetry", "sentry_sdk"})


def stats(session: Session) -> str:
    """The most expensive functions by cumulative time: ``0.051 render views.py:12; …``, in seconds, as ASCII."""
    root = session.root_frame()
    times: dict[str, float] = {}
    for name, seconds in _times(root, frozenset()) if root is not None else ():
        times[name] = times.get(name, 0.0) + seconds
    most = sorted(times.items(), key=lambda item: -item[1])[:MAX_FUNCTIONS]
    text = ""
    for name, seconds in most:
        part = f"{seconds:.3f} {name}".encode("ascii", "backslashreplace").decode()
        if len(text) + len(part) > MAX_LENGTH:
            break
        text += f"; {part}" if text else part
    return text


def _times(frame: Any, callers: frozenset[str]) -> Iterator[tuple[str, float]]:
    """Each function and its cumulative time. A recursive call is within its first one."""
    name = "" if frame.is_synthetic or _is_of_framework(frame) else _name(frame)
    if name and name not in callers:
        yield name, frame.time
        callers |= {name}
    for child in frame.children:
        yield from _times(child, callers)


def _is_of_framework(frame: Any) -> bool:
    """Whether each request has this function, whatever the app does."""
    return not _FRAMEWORK.isdisjoint(str(frame.file_path or "").replace("\\", "/").split("/"))


def _name(frame: Any) -> str:
    file = str(frame.file_path or "").replace("\\", "/").rpartition("/")[2]
    # No name of a file or function can break a header.
    return "".join(each if each.isprintable() else "?" for each in f"{frame.function} {file}:{frame.line_no}")
