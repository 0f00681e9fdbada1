"""Reduce stack traces to the app's frames. Those of libraries and of otelflask become one line."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARY_FRAMES = "… library frames …"
#: The folders of libraries, longest first. Below them, a path is the same on each machine.
_LIBRARIES = sorted(
    {
        str(Path(path).resolve() if is_resolved else Path(path))
        for path in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), sysconfig.get_path("stdlib"))
        for is_resolved in (True, False)
    }
    | {str(ROOT / "otelflask")},
    key=len,
    reverse=True,
)
_FRAME = re.compile(r'^(?P<lead>[ |+]*)File "(?P<path>[^"]*)"?(?:, line (?P<line>\d+))?')
_MARKS = re.compile(r"^[ |]*[~^][~^ ]*$")
_LEAD = re.compile(r"^[ |+]*")


def is_library(path: str) -> bool:
    """Whether a file, or the beginning of its path, does not belong to the scenarios."""
    return not path.startswith((str(ROOT / "tests"), "/d.py"))


def shown_path(text: str) -> str:
    """Replace the paths of libraries and of the checkout by names."""
    for library in _LIBRARIES:
        text = text.replace(f"{library}/", "<lib>/otelflask/" if library.startswith(f"{ROOT}/otelf") else "<lib>/")
    return text.replace(str(ROOT), "<root>")


def without_libraries(lines: list[str]) -> list[str]:
    """The lines of a text with frames of libraries as one line, and without marks below source lines."""
    found: list[str] = []
    #: Indentation of the frame whose source lines are left out.
    within = -1
    for line in lines:
        indentation = len(_LEAD.match(line)[0])  # type: ignore[index]
        if 0 <= within < indentation or _MARKS.match(line):
            continue
        within = -1
        frame = _FRAME.match(line)
        if frame is not None and is_library(frame["path"]):
            within = indentation
            line = frame["lead"] + LIBRARY_FRAMES
            if found and found[-1] == line:
                continue
        found.append(line)
    return _without_repeated(found)


def _without_repeated(lines: list[str]) -> list[str]:
    """Frames of a recursion, once: how many fit depends on the length of the checkout's path."""
    found: list[str] = []
    position = 0
    while position < len(lines):
        pair = lines[position : position + 2]
        if found[-2:] == pair and _FRAME.match(pair[0]):
            position += 2
            continue
        found.append(lines[position])
        position += 1
    return found
